"""What was found damaged and set aside: which files, what it means, and what to do about it.

Whoever cannot understand a file of ours renames it (`durable.set_aside`) and goes on without it.
Here it is told, once for all of them. Knows the names of files; reads none.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from afterword_trainer import durable
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths

logger = logging.getLogger(__name__)

# What is lost with a file; of the others nothing is that anybody would miss.
_MEANS: Final[Mapping[str, str]] = {
    "memory": "the memory of what was typed and saved begins anew and is filled from your files",
    "files.sqlite": "all that is watched is read again",
    "learned.json": "which model learned which file is not known any more, so to forget a file "
    "will delete all models that learned from yours",
    "forgetting.json": "what was still to be forgotten has to be asked for again: "
    "trainer forget PATH",
    "ledger": "what was learned when is not known any more",
    "learning.json": "what waits to be learned is counted anew",
    "counts.json": "the figures of `afterword stats` begin anew",
}


def found(paths: Paths) -> Sequence[Path]:
    """The files that lie aside, by name; nothing where the folder cannot be read."""
    with suppress(StateError):
        return durable.aside(paths.data)
    return ()


def sentence(files: Sequence[Path]) -> str:
    """What became of them, and what that means, in one line; "" for none."""
    if not files:
        return ""
    names = list(dict.fromkeys(map(_name, files)))
    means = [_MEANS[name] for name in names if name in _MEANS]
    verb = (
        "was damaged, or of another version, and is" if len(names) == 1 else "were damaged and are"
    )
    return "; ".join([f"{', '.join(names)} {verb} set aside", *means])


class Watch:
    """What came to lie there since this was made."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._before = {file.name for file in found(paths)}
        self._new: dict[str, Path] = {}

    def look(self) -> None:
        """Log what is new."""
        for file in found(self._paths):
            if file.name not in self._before and file.name not in self._new:
                self._new[file.name] = file
                logger.warning("%s", sentence([file]))

    @property
    def sentence(self) -> str:
        """What became of the new ones; "" if there are none."""
        return sentence([*self._new.values()])


def _name(file: Path) -> str:
    """As it was called: "memory" of "memory.00ff00ff.broken"."""
    return file.name.rsplit(".", 2)[0]
