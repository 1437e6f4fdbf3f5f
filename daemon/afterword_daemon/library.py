"""The part of the memory that holds saved files, and its way to disk.

A file is learned in the place of what was known under its path; it is forgotten when it is gone.
That the same text may stand in the memory a second time, of an open document, costs next to
nothing: 0.003 bits a character, measured on notes and on verse. Knows paths and texts; knows
neither folders nor who watches them.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from afterword_trainer import remembering
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.remembering import Remembered

from afterword_daemon.protocol import path_of
from afterword_daemon.recollection import is_unsaved

MOST_WAITING = 200_000  # characters that wait to be learned; beyond, whoever tells has to wait


class Point(NamedTuple):
    """Up to where a memory holds what was told."""

    changes: int
    reader: int  # the how manyth told it
    number: int  # of its last message


class Library:
    """What was told of saved files, and what of it has been learned."""

    def __init__(self, remembered: Remembered, alphabet: Alphabet) -> None:
        self._remembered = remembered
        self._alphabet = alphabet
        self._waiting: OrderedDict[str, str | None] = OrderedDict()  # text, or None: forget it
        self._n_waiting = 0  # characters
        self._slices: Iterator[None] = iter(())
        self._is_at_work = False
        self._unwanted: set[str] = set()  # files that the user had forgotten
        self._doubtful: set[str] = set()  # files of which the reader has not told yet
        self._told = self._stored = Point(0, 0, 0)

    @property
    def id(self) -> str:
        """Of the memory."""
        return self._remembered.id

    @property
    def has_room(self) -> bool:
        """Whether more may be told."""
        return self._n_waiting < MOST_WAITING

    @property
    def is_busy(self) -> bool:
        """Whether something is being learned or forgotten, or waits for it."""
        return self._is_at_work or bool(self._waiting)

    @property
    def must_forget(self) -> bool:
        """Whether something that waits is to be forgotten on request: before the next answer."""
        return bool(self._unwanted)

    @property
    def has_files(self) -> bool:
        """Whether anything of a saved file is known, or will be."""
        known = {key for key in self._remembered.memory.documents() if not is_unsaved(key)}
        gone = {path for path, text in self._waiting.items() if text is None}
        return bool(known - gone) or len(gone) < len(self._waiting)

    @property
    def is_stored(self) -> bool:
        """Whether a memory on disk has all that was told."""
        return self._stored.changes == self._told.changes

    # -- what is told --------------------------------------------------------------------------

    def begin(self) -> None:
        """Another reader tells, or none does; it numbers what it tells from one on."""
        self._told = self._told._replace(reader=self._told.reader + 1, number=0)

    def doubt(self) -> None:
        """The reader tells everything anew; what is not told until `settled` is gone.

        If it dies meanwhile, the next one begins anew too.
        """
        self._doubtful = {
            path for path in self._remembered.memory.documents() if not is_unsaved(path)
        }
        self._doubtful |= {path for path, text in self._waiting.items() if text is not None}

    def saved(self, number: int, path: str, text: str) -> None:
        """Have the memory hold the text of a file, soon, instead of what it holds of it."""
        self._wait(path, text)
        self._told = self._told._replace(number=number)

    def gone(self, number: int, path: str) -> None:
        """Have the memory forget a file, soon."""
        self._wait(path, None)
        self._told = self._told._replace(number=number)

    def drop(self) -> None:
        """Learn nothing of what waits. It does not count as stored: the next reader tells it."""
        waiting = self._waiting.items()
        self._waiting = OrderedDict((path, None) for path, text in waiting if text is None)
        self._n_waiting = 0
        self.begin()

    def forget(self, holds: Callable[[str], bool]) -> bool:
        """Have the memory forget the files for which that is true, before all else; whether any.

        `holds` is asked for paths; here they have names, see `protocol.name_of`.
        """
        paths = {path for path in self._remembered.memory.documents() if not is_unsaved(path)}
        paths |= set(self._waiting)
        unwanted = [path for path in paths if holds(path_of(path))]
        for path in unwanted:
            self._wait(path, None)
            self._waiting.move_to_end(path, last=False)
        self._unwanted.update(unwanted)
        return bool(unwanted)

    def settled(self, out_of_reach: Collection[str] = ()) -> None:
        """All was told; of folders that are out of reach what is known stays."""
        if self._doubtful:  # what was stored meanwhile did not count, see `storing`
            self._told = self._told._replace(changes=self._told.changes + 1)
        for path in list(self._doubtful):
            real = path_of(path)
            if not any(real.startswith(f"{folder.rstrip('/')}/") for folder in out_of_reach):
                self._wait(path, None)
        self._doubtful = set()

    # -- what is learned -----------------------------------------------------------------------

    def work(self) -> bool:
        """Learn or forget some hundred symbols; False: nothing waits."""
        if next(self._slices, _DONE) is not _DONE:
            return True
        self._is_at_work = False
        self._unwanted &= self._waiting.keys()
        if not self._waiting:
            return False
        self._is_at_work = True
        path, text = self._waiting.popitem(last=False)
        self._n_waiting -= len(text or "")
        memory = self._remembered.memory
        if text is None:
            self._slices = memory.forget_in_slices(path)
        else:
            self._slices = memory.learn_in_slices(path, self._alphabet.encode(text))
        next(self._slices, _DONE)
        return True

    # -- what is stored ------------------------------------------------------------------------

    def storing(self, path: Path) -> Callable[[], Point]:
        """What stores the memory as it is now, without open documents, which are not saved.

        To be called in another thread, for it takes as long as some keys; there it raises
        durable.StateError. `stored` is to be called with what it returns. Only while nothing
        waits, for that would count as stored.
        """
        assert not self.is_busy
        copy, point = self._remembered.copy(), self._told
        if self._doubtful:  # it may hold files that are gone: the reader has to tell all again
            point = point._replace(number=0)

        def store() -> Point:
            for key in copy.memory.documents():
                if is_unsaved(key):
                    copy.memory.forget(key)
            remembering.save(path, copy)
            return point

        return store

    def stored(self, point: Point) -> int:
        """A memory on disk has what was told; the number of the last message that it has.

        0 if another reader tells by now, whose numbers mean something else, or if it had not told
        yet which files are gone.
        """
        self._stored = point
        return point.number if point.reader == self._told.reader else 0

    def _wait(self, path: str, text: str | None) -> None:
        """What was told of the file before, and was not learned yet, need not be any more."""
        before = self._waiting.pop(path, None)
        self._n_waiting += len(text or "") - len(before or "")
        self._waiting[path] = text
        self._doubtful.discard(path)
        self._told = self._told._replace(changes=self._told.changes + 1)


_DONE = object()
