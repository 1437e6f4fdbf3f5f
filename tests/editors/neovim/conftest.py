"""Shared by the tests of the Neovim plug-in: Neovims that end with their test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from homes import Home
from neovims import Neovim, Start

VERSIONS = ("0.12", "0.11")


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Every test that wants one runs with each."""
    return str(request.param)


@pytest.fixture
def start(home: Home, version: str) -> Iterator[Start]:
    """Start Neovims of this version in the home of the test.

    A home for each test: what one rejects makes suggestions rarer in the next.
    """
    running: list[Neovim] = []

    def run(*files: Path, **how: Any) -> Neovim:
        running.append(Neovim(home, version, *files, **how))
        return running[-1]

    yield run
    for one in running:
        one.quit()
