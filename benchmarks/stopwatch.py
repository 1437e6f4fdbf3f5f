"""Measures things in turn, and says on which machine.

A machine that somebody else works on is slower now and faster then. So whatever is to be compared
is measured in rounds, one turn each per round, and compared within each round. Knows clocks and
medians; knows nothing of what is measured.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

Turn = Callable[[], float]  # measures once; seconds, or something per second
Rounds = Mapping[str, Sequence[float]]  # what each turn found, round by round


def in_turns(turns: Mapping[str, Turn], n_rounds: int) -> dict[str, list[float]]:
    """`n_rounds` times one turn of each."""
    found: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(n_rounds):
        for name, turn in turns.items():
            found[name].append(turn())
    return found


def seconds_per_call(call: Callable[[], object], *, turn_s: float = 0.01) -> Turn:
    """A turn of as many calls as fill `turn_s`, for what is too short to be timed by itself.

    A hundredth of a second: many calls of some microseconds, and short enough that most turns
    pass without another process taking the core.
    """
    call()  # the first call pays for what is made once

    def once() -> float:
        began = perf_counter()
        call()
        return perf_counter() - began

    n_calls = max(1, round(turn_s / max(min(once() for _ in range(3)), 1e-7)))

    def turn() -> float:
        began = perf_counter()
        for _ in range(n_calls):
            call()
        return (perf_counter() - began) / n_calls

    return turn


def figures(values: Sequence[float], scale: float = 1.0) -> dict[str, float]:
    """Median, and the tenths at both ends, of `values` times `scale`."""
    ordered = sorted(value * scale for value in values)
    tenth = (len(ordered) - 1) // 10
    return {
        "median": _round(median(ordered)),
        "low": _round(ordered[tenth]),
        "high": _round(ordered[-1 - tenth]),
        "rounds": len(ordered),
    }


def ratio(found: Rounds, name: str, reference: str) -> float:
    """How many times `reference` is `name`: median of the ratios within each round."""
    pairs = zip(found[name], found[reference], strict=True)
    return _round(median(value / other for value, other in pairs))


def machine() -> dict[str, Any]:
    """Processor, caches, memory, load, versions: what a figure is worth nothing without."""
    import psutil  # late, so that who measures memory starts small
    from afterword_trainer.machine import description

    return {
        **description(),
        "caches": cache_bytes(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def cache_bytes() -> dict[str, int]:
    """Bytes of each cache that holds data, smallest first; empty where the system does not say."""
    found: dict[str, int] = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = (
                (cache / name).read_text().strip() for name in ("type", "level", "size")
            )
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            found[f"L{level}"] = int(size[:-1]) * 1024
    return found


def say(line: str) -> None:
    """A line for people."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def finish(benchmark: str, found: Mapping[str, Any]) -> None:
    """The JSON object, the one thing on standard output."""
    print(json.dumps({"benchmark": benchmark, "machine": machine(), **found}))


def _round(value: float) -> float:
    return float(f"{value:.4g}")
