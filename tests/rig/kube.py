"""A whole Kubernetes node with the chart on it, as the tests and `make cluster` use it.

Everything runs in namespaces of the node (tests/k8s/node.sh). Whoever speaks to it enters its network namespace, or comes in
over a veth pair.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .paths import ROOT, cache_folder, cargo_target
from .process import Process, wait_for

K8S = ROOT / "tests/k8s"
NAMESPACE, RELEASE = "default", "plenum"
# For values of the chart: images of tests/k8s/images.sh.
VALUES = {
    "operator.image.repository": "local.test/plenum-operator",
    "operator.image.tag": "test",
    "operator.image.pullPolicy": "Never",
    "sfu.image.repository": "local.test/plenum-sfu",
    "sfu.image.tag": "test",
    "sfu.image.pullPolicy": "Never",
    "redis.image": "local.test/redis:1",
    "redis.imagePullPolicy": "Never",
    "pool.resources.requests.cpu": "50m",
    "pool.resources.requests.memory": "32Mi",
}


def programs() -> Path:
    """Folder with kubectl, helm and the rest."""
    out = subprocess.run([K8S / "build.sh"], capture_output=True, text=True, check=True).stdout
    return Path(out.strip().splitlines()[-1])


class Node:
    """One node, its state in a folder."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or Path(tempfile.mkdtemp(prefix="plenum-node-"))
        self.process: Process | None = None

    def start(self) -> "Node":
        images = self.folder.parent / f"{self.folder.name}-images"
        environment = os.environ | {"RELEASE": str(cargo_target() / "release")}
        subprocess.run([K8S / "images.sh", images], env=environment, check=True)
        self.process = Process("node", [str(K8S / "node.sh"), str(self.folder), str(images)])

        def ready() -> bool:
            assert self.process.running(), self.process.tail()
            return (self.folder / "admin.kubeconfig").exists() and " Ready " in self.try_kubectl("get", "nodes")

        wait_for(ready, 90, "the Kubernetes node to be ready")
        shutil.rmtree(images, ignore_errors=True)
        return self

    def stop(self) -> None:
        subprocess.run([K8S / "stop.sh", self.folder], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def init(self) -> int:
        """First process inside the namespaces."""
        top = (self.folder / "pid").read_text().strip()
        return int(Path(f"/proc/{top}/task/{top}/children").read_text().split()[0])

    def inside(self, *command: str) -> list[str]:
        """A command inside the node's network."""
        return ["nsenter", "-t", str(self.init), "-n", *command]

    def run(self, *command: str, check: bool = True, text: str | None = None, seconds: float = 120) -> str:
        """Runs a program inside the node's network with its kubeconfig; what it prints."""
        environment = os.environ | {"KUBECONFIG": str(self.folder / "admin.kubeconfig"), "PATH": f"{programs()}:{os.environ['PATH']}"}
        # A test that already runs inside needs no nsenter.
        words = list(command) if os.environ.get("PLENUM_INSIDE_NODE") else self.inside(*command)
        done = subprocess.run(words, capture_output=True, text=True, env=environment, input=text, timeout=seconds)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def kubectl(self, *words: str, **options) -> str:
        return self.run("kubectl", *words, **options)

    def try_kubectl(self, *words: str) -> str:
        return self.kubectl(*words, check=False)

    def get(self, kind: str, name: str | None = None, **options) -> dict:
        return json.loads(self.kubectl("get", kind, *([name] if name else []), "-o", "json", **options))

    def apply(self, resource: dict) -> None:
        self.kubectl("apply", "-f", "-", text=json.dumps(resource))

    def helm_install(self, **values: str) -> None:
        sets = [word for key, value in (VALUES | values).items() for word in ("--set", f"{key}={value}")]
        self.run("helm", "upgrade", "--install", RELEASE, str(ROOT / "charts/plenum"), "-n", NAMESPACE, "--wait", "--timeout", "120s", *sets)

    def helm_uninstall(self) -> float:
        started = time.monotonic()
        self.run("helm", "uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "120s", seconds=150)
        return time.monotonic() - started

    def serving(self, pool: str = "default") -> list[str]:
        """Names of the pods of a pool that serve."""
        names = self.kubectl("get", "pods", "-l", f"plenum.dev/pool={pool},plenum.dev/serving=true", "-o", "name")
        return [line.removeprefix("pod/") for line in names.splitlines()]

    def token(self, room: str, identity: str) -> str:
        """A token printed by a pod, as NOTES.txt says."""
        pod = wait_for(self.serving, 60, "a serving pod")[0]
        return self.kubectl("exec", pod, "--", "/usr/local/bin/plenum-sfu", "token", "--room", room, "--identity", identity).strip().splitlines()[-1]

    def url(self, pool: str = "default") -> str:
        """Where clients inside the node's network connect to."""
        return f"ws://{self.get('service', f'{pool}-sfu')['spec']['clusterIP']}:7880"

    def process_of(self, pod: str, program: str = "plenum-sfu") -> int:
        """Process id of a pod's program, as this machine counts."""
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and os.readlink(folder / "exe").endswith(f"/{program}"):
                    if f"HOSTNAME={pod}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                        return int(folder.name)
            except OSError:
                continue
        raise AssertionError(f"no process {program} of pod {pod}")


def standing() -> Node:
    """The cluster of `make cluster`."""
    return Node(cache_folder() / "cluster")
