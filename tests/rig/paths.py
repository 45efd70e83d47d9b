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
    """One folder a toolchain: cargo itself knows what is out of date in it, so that a fresh clone builds only our crates."""
    if folder := os.environ.get("CARGO_TARGET_DIR"):
        return Path(folder)
    version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return cache_folder() / f"target-{version}"


def binary(name: str) -> Path:
    return cargo_target() / "release" / name
