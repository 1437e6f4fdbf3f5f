"""The real `trainer` as a process, in a home of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Trainer = Callable[..., subprocess.CompletedProcess[str]]
Learning = subprocess.Popen[str]
Start = Callable[..., Learning]

TIMEOUT_S = 180.0  # ends a test that hangs; nothing here should take a tenth of it

# A network that learns in a second or two.
TINY = ("--units", "24", "--layers", "1", "--seed", "1")


def environment(home: Path) -> dict[str, str]:
    """This process's, with everything that Afterword writes under `home`.

    The base model is the one that a test makes in `home/base`, if it makes any.
    """
    ours = {"AFTERWORD_HOME": str(home), "AFTERWORD_BASE": str(home / "base")}
    return {**os.environ, **ours, "NO_COLOR": "1", "PYTHONUTF8": "1"}


def command(*arguments: str) -> list[str]:
    """`trainer`, as this interpreter runs it."""
    return [sys.executable, "-m", "afterword_trainer.cli", *arguments]


def records_of(output: str) -> list[dict[str, Any]]:
    """The lines of `--json`, every one of them an object."""
    return [json.loads(line) for line in output.splitlines()]


def read_until(process: Learning, event: str) -> list[dict[str, Any]]:
    """Records up to the first `event`."""
    assert process.stdout
    told = []
    for line in process.stdout:
        told.append(json.loads(line))
        if told[-1]["event"] == event:
            return told
    raise AssertionError(f"no {event} among {[record['event'] for record in told]}")
