"""The part in C: what is said where it was not compiled, or is older than its source."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import afterword_trainer
import pytest
from processes import TIMEOUT_S, environment

PACKAGE = Path(afterword_trainer.__file__).parent
SOURCE, LIBRARY = Path("model/memory.c"), Path("model/memory.clib")


def newer_source(package: Path) -> None:
    """As after a `git pull`."""
    with (package / SOURCE).open("a") as file:
        file.write("/* mended */\n")


def spoil(package: Path) -> None:
    """Such as one that was compiled for another machine."""
    (package / LIBRARY).write_bytes(b"no library")


def lose(package: Path) -> None:
    """As in a checkout that was never installed."""
    (package / LIBRARY).unlink()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the trainer, to be spoiled."""
    copy = tmp_path / "installed" / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=_ignored)
    return copy


def _ignored(folder: str, _: list[str]) -> set[str]:
    return {"__pycache__", "model" if Path(folder).name == "base" else ""}  # twelve megabytes


def call(package: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command of the project, with the trainer that is in `package`."""
    home = package.parent.parent
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment(home) | {"PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


OLDER = "was built from another memory.c than lies beside it\n\nhint: `make install`, or"
UNUSABLE = "cannot be loaded\n\nhint: install Afterword again"


@pytest.mark.parametrize(
    ("command", "change", "told"),
    [
        ("afterword_trainer.cli models", newer_source, OLDER),
        ("afterword_trainer.cli models", lose, UNUSABLE),
        ("afterword_trainer.cli models", spoil, UNUSABLE),
        ("afterword_daemon.cli start", newer_source, OLDER),
    ],
)
def test_a_memory_that_was_not_built_is_told_in_a_sentence(
    command: str, change: Callable[[Path], None], told: str, package: Path
) -> None:
    """With the file and the remedy, by the daemon as by the trainer."""
    change(package)
    failed = call(package, *command.split())
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: ")
    assert f"{package / LIBRARY} {told}" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_what_is_installed_needs_no_source(package: Path) -> None:
    """A wheel has the library and no memory.c."""
    (package / SOURCE).unlink(missing_ok=True)
    told = call(package, "afterword_trainer.cli", "models")
    assert (told.returncode, told.stderr) == (0, "")
