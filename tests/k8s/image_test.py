#!/usr/bin/env python3
"""The archive that image.py builds holds what the last stage of the Dockerfile copies, no more, and starts the same way."""

import json
import re
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import image  # noqa: E402


def copied(dockerfile: Path) -> set[str]:
    """Destinations of COPY in the last stage, read on their own: not by image.py."""
    last = dockerfile.read_text().rsplit("\nFROM ", 1)[1]
    return {line.split()[-1].lstrip("/") for line in last.splitlines() if line.startswith("COPY ")}


def archived(archive: Path) -> tuple[set[str], dict]:
    with tarfile.open(archive) as outer:

        def blob(digest: str):
            return outer.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")

        index = json.load(outer.extractfile("index.json"))
        manifest = json.load(blob(index["manifests"][0]["digest"]))
        config = json.load(blob(manifest["config"]["digest"]))["config"]
        with tarfile.open(fileobj=blob(manifest["layers"][0]["digest"]), mode="r:gz") as files:
            return {member.name for member in files if not member.isdir()}, config


def main() -> None:
    for dockerfile in sorted((image.ROOT / "images").glob("*.Dockerfile")):
        with tempfile.TemporaryDirectory() as folder:
            name = dockerfile.name.removesuffix(".Dockerfile")
            (Path(folder) / name).write_bytes(b"the binary")
            image.write(image.from_dockerfile(dockerfile, Path(folder)), f"local.test/{name}:1", Path(folder) / "out.tar")
            files, config = archived(Path(folder) / "out.tar")
        assert files == copied(dockerfile), f"{dockerfile.name}: {sorted(files ^ copied(dockerfile))}"
        assert config["User"] == "65532:65532", f"{dockerfile.name}: runs as {config.get('User')}"
        assert config["Entrypoint"] == json.loads(re.search(r"^ENTRYPOINT (.*)$", dockerfile.read_text(), re.M)[1])
        assert not any("/sh" in f or "busybox" in f for f in files), f"{dockerfile.name} holds a shell"
        print(f"{name}: {len(files)} files")


main()
