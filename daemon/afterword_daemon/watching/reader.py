"""The loop: wait for a hint, an order or the time of a scan; look; read what changed; tell it.

Knows the order in which things become lasting: what is to be told is in the index before it is
told, and owed until the daemon says that it is on its disk. So whoever dies when, nothing is lost.
Knows no descriptors and no signals.
"""

import logging
import os
import shlex
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final, assert_never

from afterword_trainer import corpus, durable, finding
from afterword_trainer.corpus import Document
from afterword_trainer.durable import StateError
from afterword_trainer.finding import Found, Rules
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths
from afterword_trainer.skips import Skipped

from afterword_daemon.protocol import MAX_TEXT, name_of
from afterword_daemon.watching import index as indexes
from afterword_daemon.watching import watcher
from afterword_daemon.watching.folders import Folders, Root
from afterword_daemon.watching.hints import Hints
from afterword_daemon.watching.index import Done, Due, Index, key_of
from afterword_daemon.watching.messages import (
    INDEX,
    Anew,
    Failing,
    Folder,
    FromReader,
    Gone,
    Hello,
    Look,
    Rescan,
    Saved,
    Settled,
    Stored,
    ToReader,
)
from afterword_daemon.watching.pipe import Ended

logger = logging.getLogger(__name__)

MOST_FILES: Final = 256  # read before any of them is told: a sync of the disk for each portion
MOST_BYTES: Final = 2 << 20  # of them
RACY_S: Final = 2.0  # the coarsest clock of a file system; a change within it may not show
AHEAD_S: Final = 3600.0  # of another machine's clock, at most
LOST_S: Final = (2.0, 60.0)  # least and most between scans because of lost events
LOST_COST: Final = 10.0  # times as long as a scan takes, within those


class Reader:
    """One daemon's reader; `hear` and `end` may be called from other threads."""

    def __init__(
        self,
        paths: Paths,
        send: Callable[[FromReader], None],
        *,
        start_watcher: Callable[[watcher.Hint, watcher.Lost], watcher.Watcher] = watcher.start,
        watch_limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`send` waits until there is room, and raises Ended when nobody listens any more."""
        self._paths = paths
        self._send = send
        self._clock = clock
        self._changed = threading.Condition()
        self._heard: deque[ToReader] = deque()
        self._ended = False
        self._woken = False
        self._hints = Hints(clock, self._wake)
        self._folders = Folders(
            paths,
            self._hints,
            clock,
            self._check,
            lambda: start_watcher(self._hints.hint, self._hints.lost),
            watch_limit,
        )
        self._index: Index | None = None
        self._forgotten: Forgotten | None = None
        self._look: Look | None = None
        self._number = 0  # of the last Saved or Gone
        # The same when all was told of an index that began anew; None: it did not, or not yet.
        self._whole: int | None = None
        self._told: dict[str, Folder] = {}
        self._everything = False  # everything is to be looked at
        self._everything_from = 0.0  # not before this time

    def hear(self, message: ToReader) -> None:
        """A message of the daemon's."""
        with self._changed:
            self._heard.append(message)
            self._changed.notify_all()

    def end(self) -> None:
        """Come to an end soon."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def run(self) -> None:
        """Tell what there is to tell, until the end.

        Raises StateError if the disk refuses, and has said so.
        """
        try:
            self._send(Hello())
            try:
                while True:
                    self._step()
            finally:
                if self._index:
                    self._index.close()
        except Ended:
            pass
        except (StateError, sqlite3.Error) as error:
            if isinstance(error, sqlite3.Error):
                error = indexes.explained(self._paths.data / INDEX, error)
            with suppress(Ended):
                cause = durable.without_path(error)
                self._send(Failing(detail=_sayable(str(error)), cause=cause))
            raise error from None

    def close(self) -> None:
        """After `run`: watch nothing any more."""
        self._folders.close()

    def _step(self) -> None:
        """One message, or one pass, or a wait for either."""
        message = self._wait()
        if message is not None:
            self._obey(message)
            return
        hinted = self._hints.take()
        if hinted.everything:
            logger.warning("events were lost; everything is looked at again")
        self._everything |= hinted.everything
        everything = self._everything and self._clock() >= self._everything_from
        try:
            forgotten, has_changed = self._load_forgotten()
        except StateError as error:
            self._folders.hold(str(error))  # whoever cannot tell what to leave alone reads nothing
            self._tell_folders()
            return
        # What was forgotten meanwhile may lie anywhere.
        everything |= has_changed
        roots = self._folders.roots if everything else self._folders.due()
        if everything or roots or hinted.folders:
            self._pass(roots, hinted.folders, forgotten, everything=everything)

    def _wait(self) -> ToReader | None:
        """The next message; None when something is due, or may be."""
        with self._changed:
            while not self._ended and not self._heard and not self._woken:
                if not self._changed.wait(self._due_in()):
                    break
            self._woken = False
            if self._heard:  # first: the last of them may say that something is stored
                return self._heard.popleft()
        self._check()
        return None

    def _due_in(self) -> float | None:
        """Seconds until something is due; None before there is anything to look at."""
        if self._index is None:
            return None
        waits = [self._folders.due_in()]
        if (hints := self._hints.due_in()) is not None:
            waits.append(hints)
        if self._everything:
            waits.append(max(0.0, self._everything_from - self._clock()))
        return min(waits)

    def _wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _check(self) -> None:
        if self._ended:
            raise Ended

    # -- orders --------------------------------------------------------------------------------

    def _obey(self, message: ToReader) -> None:
        match message:
            case Look():
                self._look_at(message)
            case Stored():
                if self._index:
                    self._index.stored(message.number)
                    if self._whole is not None and message.number >= self._whole:
                        self._index.adopt()
                        self._whole = None
                    self._index.rest()
            case Rescan():
                self._everything, self._everything_from = True, 0.0
            case _:
                assert_never(message)

    def _look_at(self, look: Look) -> None:
        if self._index and self._look and self._look.memory != look.memory:
            self._index.close()
            self._index = None
        self._look = look
        if self._index is None:
            self._index = Index(self._paths.data / INDEX, look.memory)
            self._whole = None
            if self._index.is_new:
                self._send(Anew())
        self._hints.quiet_s = look.quiet_s
        self._folders.name(look.folders, Rules(ignore=look.ignore), self._index)
        self._told = {}
        self._everything, self._everything_from = True, 0.0

    def _load_forgotten(self) -> tuple[Forgotten, bool]:
        """What is forgotten by now, and whether it was something else before."""
        if self._forgotten is not None and not self._forgotten.is_outdated():
            return self._forgotten, False
        has_changed = self._forgotten is not None
        self._forgotten = Forgotten.load(self._paths)
        return self._forgotten, has_changed

    # -- a pass --------------------------------------------------------------------------------

    def _pass(
        self,
        roots: Sequence[Root],
        hinted: Mapping[str, Collection[str]],
        forgotten: Forgotten,
        *,
        everything: bool,
    ) -> None:
        """Look at some folders, and tell all that has changed."""
        assert self._index
        assert self._look
        index, begun = self._index, self._clock()
        if self._folders.name_again(index):
            roots = self._folders.roots
        for root in roots:
            self._folders.scan(root, index, forgotten)
        self._folders.look(hinted, index, forgotten)
        if everything:
            now, (least, most) = self._clock(), LOST_S
            self._everything = False
            self._everything_from = now + min(max(least, LOST_COST * (now - begun)), most)
        index.choose(self._look.most_characters, MAX_TEXT)
        self._tell_folders()
        first = self._number
        self._tell_gone(index)
        characters = self._tell_saved(index)
        if characters is None:
            return
        if roots or everything or self._number > first:
            self._tell_folders()
            files = sum(folder.files for folder in self._told.values())
            changed = self._number - first
            self._send(Settled(files=files, changed=changed, characters=characters))
            if index.is_new and self._whole is None:
                self._whole = self._number
        index.rest()

    def _tell_folders(self) -> None:
        """How each of the folders is watched, if that has changed."""
        for root in self._folders.roots:
            files, skipped = self._index.counts(root.path) if self._index else (0, 0)
            folder = Folder(
                path=root.path,
                mode=root.mode,
                detail=_sayable(root.detail),
                files=files,
                skipped=skipped + self._folders.skipped(root),
                every_s=root.every_s,
            )
            self._tell_folder(folder)
        for path, root in self._folders.twins().items():
            remedy = f"afterword watch remove {shlex.quote(path)}"
            detail = _sayable(f"it is the same folder as {root.path}; {remedy}")
            self._tell_folder(Folder(path=path, mode=root.mode, detail=detail))

    def _tell_folder(self, folder: Folder) -> None:
        if self._told.get(folder.path) != folder:
            self._told[folder.path] = folder
            self._send(folder)

    def _tell_gone(self, index: Index) -> None:
        while paths := index.to_forget(self._number + 1, MOST_FILES):
            for path in paths:
                self._number += 1
                self._send(Gone(number=self._number, path=name_of(path)))

    def _tell_saved(self, index: Index) -> int | None:
        """Read what is due, portion by portion; the characters that were told.

        None if it was broken off: the next pass goes on with it.
        """
        characters = 0
        while files := index.due(MOST_FILES, MOST_BYTES):
            if self._load_forgotten()[1]:  # some of these may be among it; the next pass knows
                self._everything, self._everything_from = True, 0.0
                return None
            index.begin(files)
            messages: list[Saved | Gone] = []
            done: list[Done] = []
            put_off: list[Due] = []
            try:
                for file in files:
                    self._check()
                    read = self._read(file, self._number + len(messages) + 1)
                    if read is None:
                        put_off.append(file)
                        continue
                    done.append(read[0])
                    if read[1] is not None:
                        messages.append(read[1])
            except Ended:
                index.put_off(files)
                raise
            index.put_off(put_off)
            index.done(done)  # what is told from here on is known to be owed
            for message in messages:
                self._number = message.number
                characters += message.characters if isinstance(message, Saved) else 0
                self._send(message)
        return characters

    def _read(self, file: Due, number: int) -> tuple[Done, Saved | Gone | None] | None:
        """What is in a file, as message `number` unless it is known; None: ask again later."""
        name = os.fsdecode(file.name)
        path = f"{file.path.rstrip('/')}/{name}"
        folder = self._folders.known(file.path)
        begun_ns = time.time_ns()
        if folder is None or (status := _status(path)) is None or key_of(status) != file.key:
            self._hints.hint(file.path, name)
            return None
        found = finding.found_again(folder, name, status, self._folders.rules)
        item = corpus.read(found, self._folders.rules) if isinstance(found, Found) else found
        after = _status(path)
        was_changed = after is None or key_of(after) != file.key
        if was_changed or (isinstance(item, Skipped) and item.reason in ("changed", "vanished")):
            self._hints.hint(file.path, name)
            return None
        # A time to come is no better: a server's clock may be ahead. But one that is far ahead was
        # given by a clock that has been set back since, and would be so for years.
        racy = any(
            -RACY_S * 1e9 < changed_ns - begun_ns < AHEAD_S * 1e9
            for changed_ns in (status.st_mtime_ns, status.st_ctime_ns)
        )
        return _done(file, path, item, number, racy=racy)


def _done(
    file: Due, path: str, item: Document | Skipped, number: int, *, racy: bool
) -> tuple[Done, Saved | Gone | None]:
    """What comes of a file that was read, and what the daemon is told of it, if anything."""

    def done(
        told: bytes | None,
        *,
        says: bool,
        skipped: bool = False,
        racy: bool = racy,
        text: str = "",
    ) -> Done:
        return Done(
            folder=file.folder,
            name=file.name,
            racy=racy,
            skipped=skipped,
            told=told,
            number=number if says else 0,
            counted=_digest(text) if text else None,
            n_counted=len(text),
        )

    match item:
        case Document():
            digest = bytes.fromhex(item.digest)
            if file.is_told and file.told == digest:
                return done(digest, says=False), None
            saved = Saved(
                number=number,
                path=name_of(path),
                characters=_n_new(file, item.text),
                text=_sayable(item.text[-MAX_TEXT:]),
            )
            return done(digest, says=True, text=item.text), saved
        case Skipped(reason="unreadable") if os.access(path, os.R_OK):
            # The disk is ill, the file is there: it is tried again at every look.
            return done(file.told, says=False, racy=True), None
        case Skipped() if file.told is None:
            return done(None, says=False, skipped=True), None
        case Skipped():
            gone = Gone(number=number, path=name_of(path))
            return done(None, says=True, skipped=True), gone


def _n_new(file: Due, text: str) -> int:
    """Characters that were not counted before: all of them, unless it goes on where it ended."""
    known = file.n_counted
    if file.counted and _digest(text[:known]) == file.counted:
        return len(text) - known
    return len(text)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _status(path: str) -> os.stat_result | None:
    try:
        return Path(path).lstat()
    except OSError:
        return None


def _sayable(text: str) -> str:
    """A text in Unicode: halves of characters, which no editor writes, become question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
