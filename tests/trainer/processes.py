"""The real `trainer` as a process, in a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Trainer = Callable[..., subprocess.CompletedProcess[str]]

# A network that learns in a second or two.
TINY = ("--units", "24", "--layers", "1", "--seed", "1")


def environment(home: Path) -> dict[str, str]:
    """This process's, with everything that Afterword writes under `home`."""
    return {**os.environ, "AFTERWORD_HOME": str(home), "NO_COLOR": "1", "PYTHONUTF8": "1"}


def command(*arguments: str) -> list[str]:
    """`trainer`, as this interpreter runs it."""
    return [sys.executable, "-m", "afterword_trainer.cli", *arguments]
