#!/usr/bin/env python3
"""Writes docs/compatibility.md from the tests: `tests/compatibility/table.py`; with `--check` it only says whether the page is true.

A test says what it proves in a comment right above it, `covers: in.add_track, out.track_published`. This program gathers those
comments from the Rust, Python and node tests, and fills in the items of inventory.toml. What no test claims is shown as such.
"""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/compatibility.md"
INVENTORY = Path(__file__).with_name("inventory.toml")

TAG = re.compile(r"^\s*(?:///?|#) covers: (.+?)\s*$")
# Between a tag and its test: comments, attributes, decorators and the lines of either that go on.
BETWEEN = re.compile(r"^\s*(//|#|@)")
COMMENT = re.compile(r"^\s*(//|# )")
RUST_TEST = re.compile(r"^\s*#\[(\w+::)?test\b|^\s*#\[test_case")
LANGUAGES = {
    ".rs": re.compile(r"^\s*(?:pub )?(?:async )?fn (\w+)"),
    ".py": re.compile(r"^\s*(?:async )?def (test_\w+)"),
    ".mjs": re.compile(r"^\s*(?:test|it)\(\s*(['\"`])(.+?)\1\s*,"),
}
SKIPPED = re.compile(r"#\[ignore|\bskip\b|\bxfail\b")
# Which client a folder's tests play; the first that fits.
CLIENTS = [
    ("tests/browser/firefox", "Firefox"),
    ("tests/browser/server-sdk", "npm livekit-server-sdk"),
    ("tests/browser", "Chromium, livekit-client"),
    ("tests/rtc-node", "npm rtc-node"),
    ("tests/clients/test_agents", "PyPI livekit-agents"),
    ("tests/clients", "PyPI livekit"),
    ("tests/cluster", "PyPI livekit, three members"),
    ("tests/node", "PyPI livekit, Kubernetes"),
    ("tests/hostile", "hostile clients"),
    ("tests/peer", "Rust peer on webrtc"),
    ("", "Rust"),
]


@dataclass(frozen=True, order=True)
class Test:
    """One test that claims something."""

    path: str
    name: str

    @property
    def client(self) -> str:
        return next(client for prefix, client in CLIENTS if self.path.startswith(prefix))


class Wrong(Exception):
    """A tag that means nothing."""


def inventory() -> list[dict]:
    return tomllib.loads(INVENTORY.read_text())["section"]


def key(section: dict, item: str) -> str:
    return f"{section['key']}.{item}"


def names() -> set[str]:
    return {key(section, item) for section in inventory() for item in section["items"]}


def tagged_files() -> list[Path]:
    """Files of the repository, also those not committed yet, in which a tag may stand."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.rs", "*.py", "*.mjs"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout
    return [ROOT / name for name in sorted(set(filter(None, listed.split("\0")))) if (ROOT / name).is_file()]


def test_below(lines: list[str], at: int, suffix: str, where: str) -> str | None:
    """Name of the test that the tag on line `at` stands above; None for one that is not run."""
    pattern = LANGUAGES[suffix]
    open_brackets, seen = 0, []
    for line in lines[at:]:
        if open_brackets <= 0 and (found := pattern.match(line)):
            above = "\n".join(one for one in seen if not COMMENT.match(one))
            if suffix == ".rs" and not any(RUST_TEST.match(one) for one in seen):
                break
            return None if SKIPPED.search(above) or re.search(r"\{ *skip:", line) else found.groups()[-1]
        if open_brackets <= 0 and not BETWEEN.match(line):
            break
        seen.append(line)
        if not COMMENT.match(line):
            open_brackets += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
    raise Wrong(f"{where}: `covers:` stands above no test that this program knows; put it right above the test")


def claims() -> dict[str, set[Test]]:
    """The tests of each item."""
    known, found, wrong = names(), defaultdict(set), []
    for file in tagged_files():
        path = file.relative_to(ROOT).as_posix()
        if file == Path(__file__).resolve():
            continue
        lines = file.read_text().splitlines()
        for at, line in enumerate(lines):
            if not (tag := TAG.match(line)):
                continue
            where = f"{path}:{at + 1}"
            try:
                name = test_below(lines, at + 1, file.suffix, where)
            except Wrong as error:
                wrong.append(str(error))
                continue
            for item in re.split(r",\s*", tag.group(1)):
                if item not in known:
                    wrong.append(f"{where}: there is no {item!r} in tests/compatibility/inventory.toml")
                elif name:
                    found[item].add(Test(path, name))
    if wrong:
        raise Wrong("\n".join(wrong))
    return found


def cell(tests: set[Test]) -> str:
    """Links to the tests, by client and file."""
    if not tests:
        return "no test"
    files = defaultdict(list)
    for test in sorted(tests):
        files[(test.client, test.path)].append(test.name.removeprefix("test_").replace("_", " ").replace("|", "\\|"))
    return "<br>".join(f"{client}: [{'; '.join(listed)}](../{path})" for (client, path), listed in sorted(files.items()))


def page() -> str:
    found = claims()
    sections = inventory()
    out = [
        "# Compatibility",
        "",
        "What LiveKit's clients, server SDKs and agents can ask for, and the tests that show that it works. `tests/compatibility/table.py` writes",
        "this page from the tests themselves, and the stage `lint` fails when it is out of date; so change a test or `tests/compatibility/inventory.toml`,",
        "never this page. \"no test\" means that nobody has shown it, whether or not it works.",
        "",
        "| | items | with a test |",
        "|---|---|---|",
    ]
    for section in sections:
        shown = sum(1 for item in section["items"] if found.get(key(section, item)))
        anchor = re.sub(r"[^a-z0-9 -]", "", section["title"].lower()).replace(" ", "-")
        out.append(f"| [{section['title']}](#{anchor}) | {len(section['items'])} | {shown} |")
    for section in sections:
        out += ["", f"## {section['title']}", "", section["about"], "", "| item | | tests |", "|---|---|---|"]
        for item, meaning in section["items"].items():
            out.append(f"| `{item}` | {meaning} | {cell(found.get(key(section, item), set()))} |")
    return "\n".join(out) + "\n"


def main() -> int:
    try:
        written = page()
    except Wrong as error:
        print(error, file=sys.stderr)
        return 1
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written)
        return 0
    if PAGE.exists() and PAGE.read_text() == written:
        return 0
    print("docs/compatibility.md is not what the tests say: run tests/compatibility/table.py and commit it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
