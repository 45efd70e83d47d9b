"""Gaps in decoded media, as the issue defines them.

A gap is, per subscriber and track, the longest interval between decoded frames from the fault until the end of the window,
less the longest interval in a window of the same length before the fault. A subscriber that decodes nothing any more has an
infinite gap.
"""

import json
import math

from .paths import TARGET

WINDOW = 10.0


def longest(times: list[float], start: float, end: float) -> float:
    """Longest interval without a frame between start and end; the frames around the window bound it too."""
    inside = [t for t in times if start <= t <= end]
    if not inside:
        return math.inf
    before = [t for t in times if t < start]
    points = ([before[-1]] if before else []) + inside
    steps = [b - a for a, b in zip(points, points[1:])]
    return max([*steps, end - points[-1]], default=math.inf)


def gap(times: list[float], fault: float, window: float = WINDOW) -> float:
    """Seconds that a fault at `fault` cost one subscriber on one track."""
    after = longest(times, fault, fault + window)
    before = longest(times, fault - window, fault)
    return max(0.0, after - (before if math.isfinite(before) else 0.0))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def figure(name: str, value: float, unit: str, goal: str) -> None:
    """Prints a figure so that tests/run finds it."""
    print(f"\nfigure {name} = {value:.3f} {unit} (goal {goal})", flush=True)


def keep(name: str, values: list[float]) -> None:
    """Keeps the single values behind a figure."""
    folder = TARGET / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps([round(v, 4) for v in values]) + "\n")
