"""A home and a folder to watch, and readers that end with the test."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from afterword_trainer.paths import Paths
from readers import Memory, Process, ThreadReader, paths_in


@pytest.fixture(autouse=True)
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is told at once."""
    monkeypatch.setattr("afterword_daemon.watching.hints.TICK_S", 0.01)


@pytest.fixture
def home(tmp_path: Path) -> Paths:
    """All of Afterword's folders; none is there yet."""
    return paths_in(tmp_path / "home")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder to be watched."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def memory() -> Memory:
    """The daemon's, which outlives its readers."""
    return Memory()


@pytest.fixture
def start(home: Paths, memory: Memory) -> Iterator[Callable[..., ThreadReader]]:
    """Start a reader in this home, in a thread."""
    readers: list[ThreadReader] = []

    def run(of: Memory = memory, **seams: Any) -> ThreadReader:
        readers.append(ThreadReader(home, of, **seams))
        return readers[-1]

    yield run
    for one in readers:
        if one.is_running:
            one.end()


@pytest.fixture
def spawn(home: Paths, memory: Memory) -> Iterator[Callable[..., Process]]:
    """Start a reader in this home, as a process."""
    readers: list[Process] = []

    def run(*command: str, under: Sequence[str] = ()) -> Process:
        readers.append(Process(home, memory, *command, under=under))
        return readers[-1]

    yield run
    for one in readers:
        one.close()
