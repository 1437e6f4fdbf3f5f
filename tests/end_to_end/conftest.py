"""Shared by the tests of the whole: editors that end with their test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from afterword_trainer.paths import Paths

sys.path.append(str(Path(__file__).parent))  # as pyproject.toml does for the other folders

from desk import Desk, Seat


@pytest.fixture
def seat(paths: Paths) -> Iterator[Seat]:
    """Sit an editor down in this test's home."""
    desks: list[Desk] = []

    def sit(*command: str, **how: object) -> Desk:
        desks.append(Desk(paths, *command, **how))  # type: ignore[arg-type]
        return desks[-1]

    yield sit
    for desk in desks:
        desk.kill()
