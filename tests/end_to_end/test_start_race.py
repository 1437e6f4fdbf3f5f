"""Sixty-four clients at once, some killed on the way: one daemon, and everybody is served."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from afterword_daemon import endpoint
from afterword_trainer.paths import Paths
from daemons import connect, eventually, lives, paths_in, pid_of, request
from desk import command_lines, environment, rounds

CLIENTS = 64
KILLED = 16

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


def test_start_race(base: Path) -> None:
    """AFTERWORD_ROUNDS raises the number of rounds; each has a home of its own."""
    slowest = 0.0
    for seed in range(rounds(2)):
        with home_with(base) as paths:
            told = crowd(paths, seed)
            slowest = max(slowest, *(seconds for _, seconds in told))

            assert len(told) >= CLIENTS - KILLED, f"seed {seed}"
            assert {pid for pid, _ in told} == {pid_of(paths)}, f"seed {seed}"
            # It is there for whoever comes later, and those that dead starters had begun are not.
            with connect(paths) as connection:
                assert connection.complete(request("x")).model == "base"
            assert eventually(lambda p=paths: len(daemons_of(p)) == 1), f"seed {seed}"  # type: ignore[misc]
            assert holders(endpoint.lock_of(paths)) == [pid_of(paths)], f"seed {seed}"
            assert holders(endpoint.start_lock_of(paths)) == []
            assert not (paths.logs / "daemon.err").read_bytes()
            # What killed ones leave holds up nobody either.
            os.kill(pid_of(paths), signal.SIGKILL)
            with connect(paths) as connection:
                assert connection.complete(request("x")).model == "base"
    print(f"the slowest was served after {slowest:.2f} s")


def crowd(paths: Paths, seed: int) -> list[tuple[int, float]]:
    """Which daemon those that lived on were told of, and after how many seconds."""
    script = str(Path(__file__).with_name("crowd.py"))
    arguments = [str(paths.data.parent), str(CLIENTS), str(KILLED), str(seed)]
    result = subprocess.run(
        [sys.executable, script, *arguments],
        env={**environment(paths), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return [(pid, seconds) for pid, seconds in json.loads(result.stdout)]


@contextmanager
def home_with(base: Path) -> Iterator[Paths]:
    """A home; whatever runs there is killed with it."""
    with tempfile.TemporaryDirectory(prefix="aw-", ignore_cleanup_errors=True) as home:
        (Path(home) / "base").symlink_to(base)
        paths = paths_in(Path(home))
        try:
            yield paths
        finally:
            while ours := daemons_of(paths):
                for pid in ours:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                eventually(lambda pids=ours: not any(map(lives, pids)))  # type: ignore[misc]


def holders(lock: Path) -> list[int]:
    """Processes that have the file open; a lock lasts as long as any has, whoever took it."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if descriptor.readlink() == lock.resolve():
                found.add(int(descriptor.parts[2]))
    return sorted(found)


def daemons_of(paths: Paths) -> list[int]:
    """Processes that are a daemon of that home, or want to be."""
    lines = command_lines().items()
    return [pid for pid, line in lines if "_daemon.process" in line and str(paths.data) in line]
