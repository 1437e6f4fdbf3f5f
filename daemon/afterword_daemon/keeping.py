"""The memory kept in step with the watched folders, and on disk.

Stands between the reader, which tells what was saved, and the library, which has it learned; sees
to it that what was forgotten is gone before the next answer, and that the memory on disk is never
much older than the one in use. Knows both of them and the clock; knows nothing of clients.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from afterword_trainer import durable, remembering
from afterword_trainer.durable import StateError
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths

from afterword_daemon.config import Settings
from afterword_daemon.library import Library
from afterword_daemon.lookout import Lookout, Report
from afterword_daemon.protocol import Watched, path_of
from afterword_daemon.trouble import Trouble
from afterword_daemon.watching.messages import Anew, Gone, Hello, Look, Saved, Settled

logger = logging.getLogger(__name__)

# 20 MB are written then. What a crash loses of it costs no more than to be told again.
STORE_S: Final = 300.0
FORGET_S: Final = 1.0  # the same when something was forgotten: it is to be gone from the disk too
AGAIN_S: Final = 60.0  # until the next try, where the disk refused
BUSY_S: Final = 1.0  # until the next try, while files wait to be learned
MOST_CHARACTERS: Final = 400_000  # of files, newest first: two thirds of the memory


class Keeping:
    """What is told of files, and what becomes of it."""

    def __init__(
        self,
        paths: Paths,
        library: Callable[[], Library | None],
        *,
        has_work: Callable[[], None],
        saved: Callable[[str, int], None],
    ) -> None:
        """`library` gives the one in use; `has_work` hears that it has something to learn, and
        `saved` how many characters of a file are new for whoever trains.
        """
        self._paths = paths
        self._library = library
        self._has_work = has_work
        self._saved = saved
        self._lookout = Lookout(paths, self._heard)
        self._forgotten: Forgotten | None = None  # None: it cannot be told what is
        self._let_go_of: set[str] = set()  # what is forgotten though it could not be written down
        self._next_try = 0.0  # to read that
        self._wanted: tuple[Settings, bool] | None = None  # as `watch` was told
        self._removed = False  # a folder is watched no more, and its files are to be gone soon
        self._storing: asyncio.Task[None] | None = None
        self._storing_trouble = Trouble("the memory cannot be stored")
        self._timer: asyncio.TimerHandle | None = None

    @property
    def problem(self) -> str:
        """Why not all is kept that should be, and the remedy; "" if all is well."""
        return self._unread or self._storing_trouble.sentence

    @property
    def _unread(self) -> str:
        """Why nothing is read."""
        return _UNREADABLE if self._forgotten is None else self._lookout.problem

    def watch(self, settings: Settings, *, is_paused: bool) -> None:
        """Watch what is set, or nothing while learning is paused or off; of the memory in use."""
        if self._wanted:
            self._removed |= not {*self._wanted[0].watch} <= {*settings.watch}
        self._wanted = settings, is_paused
        library = self._library()
        # Nobody could tell what is to be left alone.
        is_off = is_paused or not settings.learning.enable or self._forgotten is None
        if library is None or is_off:
            if library:
                library.drop()
            self._lookout.watch(None)
            return
        # Without any folder somebody has to tell once that the files of before are gone, and to
        # hear that they are gone from the disk.
        if not (settings.watch or library.has_files or not library.is_stored):
            self._lookout.watch(None)
            return
        self._lookout.watch(
            Look(
                folders=tuple(str(folder.absolute()) for folder in settings.watch),
                ignore=tuple(settings.ignore),
                quiet_s=settings.learning.quiet_s,
                most_characters=MOST_CHARACTERS,
                memory=library.id,
            )
        )

    def watched(self) -> tuple[Watched, ...]:
        """The folders that are set, and what is known of each."""
        found = []
        for folder in self._wanted[0].watch if self._wanted else ():
            path = str(folder.absolute())
            one = self._lookout.folders.get(path)
            if one is None:
                found.append(Watched(path=path, detail=self._unread))
            else:
                found.append(
                    Watched(
                        path=path,
                        mode=one.mode,
                        detail=self._unread or one.detail,
                        files=one.files,
                        skipped=one.skipped,
                    )
                )
        return tuple(found)

    def look_for_forgotten(self) -> bool:
        """Have the memory forget what the user had forgotten since the last look; whether that is
        something else by now.
        """
        before = self._forgotten
        if before is None and time.monotonic() < self._next_try:
            return False
        if before is not None and not before.is_outdated():
            return False
        self._forgotten = now = self._load_forgotten()
        self._next_try = time.monotonic() + AGAIN_S
        if now:
            self._let_go_of = {path for path in self._let_go_of if not now.holds(path)}
        library = self._library()
        if library and now and library.forget(now.holds):
            self._has_work()
            self._store_in(FORGET_S)
        if (before is None) != (now is None):
            self._watch_again()
        self._lookout.rescan()
        return before is not None or bool(now)

    def let_go(self, path: str) -> None:
        """Have a file or folder forgotten by the memory alone, for as long as this lives."""
        self._let_go_of.add(path)
        library = self._library()
        if library and library.forget(self._is_let_go):
            self._has_work()
            self._store_in(FORGET_S)

    def is_forgotten(self, document: str) -> bool:
        """Whether nothing may be learned of an open document: the user had its file forgotten.

        One that has no file is not; where it cannot be told what is, every file is.
        """
        path = path_of(document)
        if not path:
            return False
        if self._forgotten is None or self._is_let_go(path):
            return True
        return self._forgotten.holds(path)

    def _is_let_go(self, path: str) -> bool:
        return any(path == one or path.startswith(one + os.sep) for one in self._let_go_of)

    def rested(self) -> None:
        """All that waited is learned, or enough of it: go on listening."""
        library = self._library()
        self._lookout.listen(library is None or library.has_room)

    async def close(self) -> None:
        """End the reader. What is not stored will be told again."""
        if self._timer:
            self._timer.cancel()
        if self._storing:
            await asyncio.gather(self._storing, return_exceptions=True)
        await self._lookout.close()

    # -- what the reader tells -----------------------------------------------------------------

    def _heard(self, message: Report) -> None:
        library = self._library()
        if library is None:
            return
        match message:
            case Hello():
                library.begin()
                return
            case Anew():
                library.doubt()
                return
            case Saved():
                # It may have been on its way while somebody had it forgotten.
                if self.is_forgotten(message.path):
                    library.gone(message.number, message.path)
                else:
                    library.saved(message.number, message.path, message.text)
                    self._saved(message.path, message.characters)
            case Gone():
                library.gone(message.number, message.path)
            case Settled():
                away = [
                    one.path
                    for one in self._lookout.folders.values()
                    if one.mode in ("away", "missing")
                ]
                library.settled(away)
                if self._removed:
                    self._removed = False
                    self._store_in(FORGET_S)
        self._lookout.listen(library.has_room)
        self._has_work()
        self._store_in(STORE_S)

    def _watch_again(self) -> None:
        """Something has changed on which it depends whether, and what, is to be watched."""
        if self._wanted:
            self.watch(self._wanted[0], is_paused=self._wanted[1])

    def _load_forgotten(self) -> Forgotten | None:
        """None if it cannot be told what is; then nothing is learned of any file."""
        try:
            return Forgotten.load(self._paths)
        except StateError as error:
            if self._forgotten is not None or not self._next_try:  # once, not at every try
                logger.error("what was forgotten cannot be read: %s", durable.without_path(error))
            return None

    # -- the memory on disk --------------------------------------------------------------------

    def _store_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._timer:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._store)

    def _store(self) -> None:
        self._timer = None
        library = self._library()
        if library is None or library.is_stored:
            return
        if library.is_busy or (self._storing and not self._storing.done()):
            self._store_in(BUSY_S)
            return
        path = remembering.path_of(self._paths)
        self._storing = asyncio.get_running_loop().create_task(self._stored(library, path))

    async def _stored(self, library: Library, path: Path) -> None:
        """Elsewhere, as it takes as long as some keys."""
        store = library.storing(path)
        try:
            point = await asyncio.to_thread(store)
        except StateError as error:
            self._storing_trouble.begin(error)
            self._store_in(min(AGAIN_S, STORE_S))
            return
        self._storing_trouble.end()
        if number := library.stored(point):
            self._lookout.stored(number)
        self._watch_again()


_UNREADABLE = "what was forgotten cannot be told, so nothing is read; see: afterword doctor"
