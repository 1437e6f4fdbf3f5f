"""A home with a folder that is watched, a daemon that learns from it, and a client that asks.

What the memory holds is asked for as a user would: by a phrase that stands nowhere else, of which
the first half is typed.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from afterword_daemon import config
from afterword_daemon.client import Connection
from afterword_trainer.paths import Paths
from daemons import eventually, odd, pid_of, request
from desk import environment

READER = "afterword_daemon.watching"
TRAINER = "afterword_trainer.cli"
QUICK = {"server__REFRESH_S": 0.05, "server__LOOK_S": 0.1, "keeping__STORE_S": 0.2}
# Half of a phrase, and how it goes on.
RIVER = ("Blorfen wumpet ", "dranthes quizzlebex")
BRIDGE = ("Vintorak schubel ", "morphents jaxoline")
MEADOW = ("Plimsun kerfaltz ", "oberdwick yumzaire")


def quick(**changes: Any) -> tuple[str, ...]:
    """A command for a daemon that waits for nothing longer than a test can."""
    return odd(**(QUICK | changes))


def text_of(*phrases: Sequence[str]) -> str:
    """Each of them often enough that the memory is sure."""
    return "".join(f"{half}{rest}.\n" * 12 for half, rest in phrases)


def watch(paths: Paths, *folders: Path, quiet_s: float = 0.1, more: str = "") -> None:
    """Set these folders, and nothing else."""
    paths.config.mkdir(parents=True, exist_ok=True)
    named = json.dumps([*map(str, folders)])
    text = f"watch = {named}\nidle_minutes = 0\n{more}\n[learning]\nquiet_s = {quiet_s}\n"
    config.path_of(paths).write_text(text, encoding="utf-8")


def knows(connection: Connection, phrase: Sequence[str]) -> bool:
    """Whether a suggestion goes on with the second half, in a document that has the first alone."""
    half, rest = phrase
    asked = request(f"As I said:\n{half}", document="asked", invoked=True)
    items = connection.complete(asked).items
    return any(item.text.startswith(rest[:8]) for item in items)


def soon_knows(connection: Connection, phrase: Sequence[str]) -> bool:
    """Whether it does some time."""
    return eventually(lambda: knows(connection, phrase))


def soon_forgets(connection: Connection, phrase: Sequence[str]) -> bool:
    """Whether some time it does not any more."""
    return eventually(lambda: not knows(connection, phrase))


def children(paths: Paths, what: str) -> list[int]:
    """Processes of a module that the daemon has started."""
    try:
        of_daemon = psutil.Process(pid_of(paths)).children()
        return [one.pid for one in of_daemon if what in one.cmdline()]
    except psutil.NoSuchProcess:
        return []


def afterword(paths: Paths, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command line, to its end."""
    return _run(paths, "afterword_daemon.cli", *arguments)


def trainer(paths: Paths, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The trainer's, to its end."""
    return _run(paths, TRAINER, *arguments)


def _run(paths: Paths, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment(paths) | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
