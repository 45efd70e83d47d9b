"""Where things are."""

import os
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Figures, logs and screenshots of the tests; what cargo builds may lie elsewhere.
TARGET = ROOT / "target"
# Lines of a failed stage's log that are shown.
SHOWN = 60


@cache
def cache_folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plenum"
    base.mkdir(parents=True, exist_ok=True)
    return base


@cache
def cargo_target() -> Path:
    """One folder a toolchain, so that a fresh clone builds only our crates.

    Cargo tells our crates of two checkouts apart by the age of their files alone. When another checkout used the folder last,
    the files of this one are made new: otherwise what was built there would pass for what is here.
    """
    if folder := os.environ.get("CARGO_TARGET_DIR"):
        return Path(folder)
    version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    target = cache_folder() / f"target-{version}"
    target.mkdir(exist_ok=True)
    owner = target / "plenum-checkout"
    if not owner.exists() or owner.read_text() != str(ROOT):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                os.utime(ROOT / name)
        owner.write_text(str(ROOT))
    return target


def binary(name: str) -> Path:
    return cargo_target() / "release" / name
