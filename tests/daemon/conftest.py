"""Shared by the daemon's tests: a home with a tiny model, and daemons that end with the test."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from afterword_daemon.client import Connection
from afterword_trainer.paths import Paths
from daemons import clear_up, connect, odd, paths_in


@pytest.fixture(scope="module")
def served(base: Path) -> Iterator[Paths]:
    """A home with a daemon in it, for all tests of a module that do it no harm."""
    with _served(base) as ours:
        yield ours


@pytest.fixture
def connection(served: Paths) -> Iterator[Connection]:
    """A client of that daemon."""
    with connect(served) as one:
        yield one


@pytest.fixture(scope="module")
def odd_served(base: Path) -> Iterator[Paths]:
    """The same with an odd daemon, see `daemons`, that has less patience."""
    with _served(base, *odd(connection__READ_S=0.25, connection__MAX_UNREAD=10_000)) as ours:
        yield ours


@pytest.fixture
def odd_connection(odd_served: Paths) -> Iterator[Connection]:
    """A client of that one."""
    with connect(odd_served) as one:
        yield one


@contextmanager
def _served(base: Path, *command: str) -> Iterator[Paths]:
    with tempfile.TemporaryDirectory(prefix="aw-") as home:
        (Path(home) / "base").symlink_to(base)
        ours = paths_in(Path(home))
        try:
            connect(ours, *command).close()
            yield ours
        finally:
            clear_up(ours)


@pytest.fixture
def start(paths: Paths) -> Iterator[Callable[..., Connection]]:
    """Start a daemon in this test's home, or connect to it; connections end with the test."""
    connections: list[Connection] = []

    def run(*command: str) -> Connection:
        connections.append(connect(paths, *command))
        return connections[-1]

    yield run
    for one in connections:
        one.close()


@pytest.fixture
def empty_base(paths: Paths) -> Paths:
    """A home without any model."""
    (paths.base).unlink()
    return paths
