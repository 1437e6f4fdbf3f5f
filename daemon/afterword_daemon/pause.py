"""Whether the user wants nothing to be learned for now: a file that is there, or is not.

It outlives the daemon, which may end by itself and come back at any time: who has paused learning
must not find out later that it went on after an hour.
"""

from pathlib import Path

from afterword_trainer import durable
from afterword_trainer.paths import Paths


def file_of(paths: Paths) -> Path:
    """Where it is written; it holds nothing."""
    return paths.data / "paused"


def holds(paths: Paths) -> bool:
    """Whether learning is paused."""
    return file_of(paths).exists()


def put(paths: Paths, *, is_paused: bool) -> None:
    """Pause learning, or let it go on. Raises durable.StateError."""
    if is_paused:
        durable.replace(file_of(paths), b"")  # a full disk has no room for a word, but for a name
    elif holds(paths):
        durable.retire(file_of(paths))
