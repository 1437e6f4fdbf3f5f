"""What shows only with time: nothing to do costs nothing, and work leaves nothing behind."""

import os
import random
import statistics
import sys
import time
from pathlib import Path

import pytest
from afterword_trainer.paths import Paths
from daemons import connect, eventually, pid_of
from desk import (
    AUTOMATIC,
    SENTENCE,
    TEXT,
    Desk,
    Seat,
    cpu_s,
    errors_in,
    n_open,
    n_threads,
    n_wakes,
    resident,
)

LETTERS = sorted((Path(__file__).parents[2] / "examples" / "letters").rglob("*.txt"))
MB = 1 << 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


def test_idle_cost(seat: Seat, paths: Paths) -> None:
    """An editor is open and nobody types: hardly a wake-up, hardly a tick of the processor.

    AFTERWORD_SOAK_S raises the number of seconds.
    """
    desk = seat()
    desk.open(TEXT)
    desk.until_known()
    processes = {"daemon": pid_of(paths), "server": desk.process.pid}
    # What was begun, the pause after the last key among it, comes to its end.
    assert eventually(lambda: are_at_rest(*processes.values()))
    before = {name: (cpu_s(pid), n_wakes(pid)) for name, pid in processes.items()}
    seconds = float(os.environ.get("AFTERWORD_SOAK_S", 4.0))
    time.sleep(seconds)
    for name, pid in processes.items():
        cpu, wakes = (
            now - then for now, then in zip((cpu_s(pid), n_wakes(pid)), before[name], strict=True)
        )
        print(f"{name}: {cpu:.2f} s of processor and {wakes} wake-ups in {seconds:g} s")
        assert cpu <= 0.02 + 0.005 * seconds, name
        assert wakes <= 2 + seconds, name


def are_at_rest(*pids: int) -> bool:
    before = sum(map(n_wakes, pids))
    time.sleep(2.5)
    return sum(map(n_wakes, pids)) - before <= 4


def test_soak(seat: Seat, paths: Paths) -> None:
    """Two people write, take words back, jump about, open and close, and others come and go.

    Memory, descriptors and threads are as they were half-way; nothing failed, nothing restarted.
    AFTERWORD_SOAK_S raises the number of seconds.
    """
    seconds = float(os.environ.get("AFTERWORD_SOAK_S", 8.0))
    draw = random.Random(17)
    desks = [seat(), seat()]
    for number, desk in enumerate(desks):
        desk.open(TEXT, uri=f"file:///letter-{number}.md")
        desk.until_known()
    pid = pid_of(paths)
    processes = {"daemon": pid, "server": desks[0].process.pid}
    samples: dict[str, list[tuple[float, int]]] = {name: [] for name in processes}
    descriptors: dict[str, list[int]] = {name: [] for name in processes}
    threads: dict[str, set[int]] = {name: set() for name in processes}
    n_keys, began = 0, time.monotonic()
    next_sample = began + seconds / 3  # until then caches fill
    while time.monotonic() < began + seconds:
        for desk in desks:
            n_keys += write_some(desk, draw)
        if draw.random() < 0.2:
            come_and_go(seat, draw)
        if time.monotonic() > next_sample:
            next_sample += seconds / 60
            for name, process in processes.items():
                samples[name].append((time.monotonic() - began, resident(process)))
                descriptors[name].append(n_open(process))
                threads[name].add(n_threads(process))
    for name, found in samples.items():
        slope = theil_sen(found) * 3600 / MB
        last = found[len(found) // 2 :]
        grown = (statistics.median(size for _, size in last[-5:]) - last[0][1]) / MB
        print(f"{name}: {found[-1][1] / MB:.1f} MB, {grown:+.2f} MB in the last half, ", end="")
        print(f"{slope:+.1f} MB/h; {n_keys} keys; descriptors {set(descriptors[name])}")
        # Within seconds what was typed is still filling the memory's allowance.
        assert grown < (3 if seconds < 30 else 1 + seconds / 3600), name
        assert max(descriptors[name]) - min(descriptors[name]) <= 3, name  # who comes and goes
        assert len(threads[name]) <= 2, name
    assert pid_of(paths) == pid
    with connect(paths) as connection:
        assert eventually(lambda: connection.status().clients == 3)
    assert all(desk.n_twice == 0 and desk.leave() == 0 for desk in desks)
    assert not errors_in(paths.logs / "daemon.log")
    assert not (paths.logs / "daemon.err").read_bytes()
    assert not (paths.data.parent / "lsp.err").read_bytes()


def write_some(desk: Desk, draw: random.Random) -> int:
    """Some keys of a letter, or something else that people do; how many keys."""
    match draw.randrange(10):
        case 0 if len(desk.text) > 30_000:
            desk.close()
            desk.open(TEXT, uri=desk.uri)
        case 1:
            desk.cursor = draw.randrange(len(desk.text) + 1)
        case 2:
            start = max(0, desk.cursor - draw.randrange(200))
            desk.edit((start, desk.cursor, ""))
        case 3:
            desk.type(SENTENCE * 20)
        case 4:
            desk.save()
        case 5:
            if found := desk.suggestions():
                desk.type(found[0])
    letter = draw.choice(LETTERS).read_text(encoding="utf-8")
    at = draw.randrange(max(1, len(letter) - 40))
    last = None
    for key in letter[at : at + 40]:
        desk.type(key)
        if last is not None and draw.random() < 0.3:
            desk.cancel(last)
        last = desk.ask(kind=AUTOMATIC)
    assert last is not None
    desk.answer(last)
    desk.answers.clear()
    return 40


def come_and_go(seat: Seat, draw: random.Random) -> None:
    """Another editor, for a moment."""
    other = seat()
    other.open(TEXT, uri="file:///other.md")
    other.until_ready()
    other.suggestions()
    if draw.random() < 0.5:
        assert other.leave() == 0
    other.kill()


def theil_sen(samples: list[tuple[float, int]]) -> float:
    """The median of all slopes (Theil 1950, Sen 1968), in units a second."""
    slopes = [
        (b - a) / (t - s) for i, (s, a) in enumerate(samples) for t, b in samples[i + 1 :] if t > s
    ]
    return statistics.median(slopes)
