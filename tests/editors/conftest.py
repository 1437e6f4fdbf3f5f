"""Shared by the tests of real editors: homes that end with their test, with all that ran there."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from homes import Home, Which, furnished

HERE = Path(__file__).parent

# Whoever runs out of time is sent SIGTERM, and would leave editors and browsers behind.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before they are told apart by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is in a folder of an editor needs that editor."""
    for item in items:
        if HERE in item.path.parents and item.path.parent != HERE:
            item.add_marker(pytest.mark.editor)


@pytest.fixture
def home(base: Path) -> Iterator[Home]:
    """A home whose model knows `homes.PHRASES`, for one test."""
    with furnished(base) as one:
        yield one


@pytest.fixture(scope="module")
def shared_home(base: Path) -> Iterator[Home]:
    """The same for all tests of a module that do it no harm."""
    with furnished(base) as one:
        yield one


@pytest.fixture
def make_home(base: Path) -> Iterator[Callable[[Which], Home]]:
    """Homes of another kind, see `homes.furnished`; they end with the test."""
    with ExitStack() as homes:
        yield lambda which: homes.enter_context(furnished(base, which))
