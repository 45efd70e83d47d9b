#!/usr/bin/env python3
"""Holds the licence of each crate in both Cargo.lock files that we build against the list in deny.toml."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def allowed(expression: str, licences: set[str]) -> bool:
    """Whether an SPDX expression can be met with these licences. `/` is an old way to write OR."""
    tokens = re.findall(r"\(|\)|AND|OR|[\w.+-]+(?: WITH [\w.-]+)?", expression.replace("/", " OR "))
    terms = [f"({t in licences})" if t not in ("(", ")", "AND", "OR") else t.lower() for t in tokens]
    return bool(eval(" ".join(terms), {"__builtins__": {}}))  # only True, False, and, or, and parentheses are left


def main() -> int:
    licences = set(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"])
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    packages = []
    for workspace in (ROOT, ROOT / "tests/peer"):
        packages += json.loads(subprocess.run(command, cwd=workspace, capture_output=True, check=True).stdout)["packages"]
    bad = [f"{p['name']} {p['version']}: {p['license']}" for p in packages if not allowed(p["license"] or "none", licences)]
    print("\n".join(bad) or f"{len(packages)} crates, all with a licence that deny.toml allows")
    return 1 if bad else 0


sys.exit(main())
