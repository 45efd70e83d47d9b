"""Brings what the stages need, once: Debian packages, a virtual environment, npm packages, our own binaries.

Each need is a function that returns None, or what is missing and how to get it. Packages come from the machine's own
package managers with our lock files; no package whose install script downloads is among them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TextIO

from .paths import ROOT, binary, cache_folder, cargo_target

CONTAINER_COMMANDS = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}


def environment() -> dict[str, str]:
    """Environment of every stage."""
    return os.environ | {
        "CARGO_TARGET_DIR": str(cargo_target()),
        "PLENUM_SFU": str(binary("plenum-sfu")),
        "PLENUM_OPERATOR": str(binary("plenum-operator")),
        "PLENUM_CRDS": str(binary("plenum-crds")),
        "PLENUM_ATTACKER": str(binary("plenum-attacker")),
        "PYTHONPATH": str(ROOT / "tests"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # What the tests speak to is on this machine, also where packages come through a proxy.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost,10.96.0.0/16,10.99.0.1"])),
    }


def call(out: TextIO, *command: str, cwd: Path = ROOT, **extra: str) -> bool:
    out.write(f"$ {' '.join(command)}\n")
    out.flush()
    done = subprocess.run(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment() | extra)
    return done.returncode == 0


def apt(out: TextIO, commands: dict[str, str]) -> str | None:
    """Installs the Debian packages behind commands that are missing."""
    packages = sorted({package for command, package in commands.items() if not (shutil.which(command) or Path(command).exists())})
    if not packages:
        return None
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get"):
        print(f"   installing {', '.join(packages)}", flush=True)
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        call(out, *sudo, "apt-get", "update", "-qq", **quiet)
        if call(out, *sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, **quiet):
            return None
    return f"missing {', '.join(packages)}: apt-get install {' '.join(packages)}"


def digest(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def requirements(name: str) -> Path:
    return ROOT / "tests" / (f"requirements-{name}.txt" if name else "requirements.txt")


@cache
def venv(name: str = "") -> Path:
    """The environment of the tests; or one of its own for what needs other versions than they do."""
    return cache_folder() / f"venv-{digest(requirements(name))}-{sys.version_info.major}.{sys.version_info.minor}"


def need_venv(out: TextIO, name: str = "") -> str | None:
    ready = venv(name) / "complete"
    if ready.exists():
        return None
    print(f"   making the Python environment of {requirements(name).name}", flush=True)
    shutil.rmtree(venv(name), ignore_errors=True)
    steps = [
        [sys.executable, "-m", "venv", str(venv(name))],
        [str(venv(name) / "bin/pip"), "install", "-q", "--require-hashes", "--only-binary", ":all:", "-r", str(requirements(name))],
    ]
    if all(call(out, *step) for step in steps):
        ready.touch()
        return None
    return f"the Python packages of {requirements(name)} could not be installed (Python 3.11 or newer with venv and pip)"


def need_agents(out: TextIO) -> str | None:
    """livekit-agents asks for an older client than the tests use."""
    return need_venv(out, "agents")


def npm(out: TextIO, folder: str) -> str | None:
    if not shutil.which("npm"):
        return "Node.js with npm is missing: install Node.js 20 or newer"
    where = ROOT / folder
    stamp = where / "node_modules" / f".plenum-{digest(where / 'package-lock.json')}"
    if stamp.exists():
        return None
    print(f"   installing the packages of {folder}", flush=True)
    if call(out, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=where):
        stamp.touch()
        return None
    return f"npm ci failed in {folder}"


def need_web(out: TextIO) -> str | None:
    if missing := npm(out, "web"):
        return missing
    return None if call(out, "npm", "run", "build", cwd=ROOT / "web") else "the page could not be built: npm run build in web/"


def need_server(out: TextIO) -> str | None:
    """Our binaries. Always the whole workspace: a part of it has other features of its dependencies, and builds them again."""
    if missing := need_compiler(out) or need_web(out):
        return missing
    print("   building the workspace", flush=True)
    built = call(out, "cargo", "build", "--release", "--locked", "--workspace")
    return None if built else "cargo build --release --workspace failed"


def need_compiler(out: TextIO) -> str | None:
    if not shutil.which("cargo"):
        return "Rust is missing: install it by rustup"
    return apt(out, {"cc": "gcc", "c++": "g++", "make": "make", "cmake": "cmake"})


def need_redis(out: TextIO) -> str | None:
    return apt(out, {"redis-server": "redis-server"})


def need_nginx(out: TextIO) -> str | None:
    return apt(out, {"nginx": "nginx-light"})


def need_chromium(out: TextIO) -> str | None:
    return apt(out, {"/usr/bin/chromium": "chromium"})


def need_firefox(out: TextIO) -> str | None:
    return apt(out, {"/usr/bin/firefox-esr": "firefox-esr"})


def need_browser(out: TextIO) -> str | None:
    return npm(out, "tests/browser")


def need_network(out: TextIO) -> str | None:
    missing = apt(out, {command: CONTAINER_COMMANDS[command] for command in ("ip", "nft", "unshare")})
    if missing:
        return missing
    return None if os.geteuid() == 0 else "a network of its own needs root: run the stage as root"


def need_rtc_node(out: TextIO) -> str | None:
    return npm(out, "tests/rtc-node")


def need_kubernetes(out: TextIO) -> str | None:
    if missing := apt(out, {"openssl": "openssl", "curl": "curl"}):
        return missing
    if not call(out, "tests/k8s/build.sh"):
        return "the Kubernetes programs could not be built (Go 1.26 or newer): tests/k8s/build.sh"
    return None


def need_containers(out: TextIO) -> str | None:
    missing = apt(out, CONTAINER_COMMANDS | {"/usr/lib/cni/ptp": "containernetworking-plugins", "/bin/busybox": "busybox-static"})
    if missing:
        return missing
    return None if os.geteuid() == 0 else "a whole node needs root: run the stage as root"


NEEDS = {name.removeprefix("need_"): function for name, function in globals().items() if name.startswith("need_")}


# Nothing changes while a run goes on: what is there is not brought again for its next stage.
_brought: set[str] = set()


def everything(needs: list[str], out: TextIO) -> str | None:
    """Brings all needs; the first that can't be met is returned."""
    for need in needs:
        if need in _brought:
            continue
        if missing := NEEDS[need](out):
            return missing
        _brought.add(need)
    return None
