"""One editor's session: its documents, and what passes between it and the daemon.

Knows the order of events: which request supersedes which, when the daemon is told of a text, and
that it hears nothing of a document for which suggestions are off; where that is so, `switches`
knows. Knows nothing of LSP's messages, and no words: `status` has them.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

from afterword_daemon import protocol
from afterword_daemon.link import Link
from afterword_trainer.paths import Paths

from afterword_lsp import completion, status
from afterword_lsp.completion import Spot
from afterword_lsp.documents import Place
from afterword_lsp.offer import follow, offered, outcome
from afterword_lsp.opened import OpenDocument, Requested, Running
from afterword_lsp.options import Options
from afterword_lsp.status import Off
from afterword_lsp.switches import Switches
from afterword_lsp.telling import Telling

logger = logging.getLogger(__name__)

# How long an editor waits. VS Code holds its own menu back until ghost text has come or not.
AUTOMATIC_S: Final = 0.25  # by then the next key has been typed, and is asked for
# After a jump the daemon has some 60 ms to read; a later key has its answer. Twice as long hardly
# ever sufficed either, and made the slowest key in a hundred one of 21.5 ms, against 3.7 of a
# server that does nothing.
JUMP_S: Final = 0.01
INVOKED_S: Final = 3.0  # somebody pressed a key for it; a daemon may have to start first
WARM_S: Final = 0.03  # without a request after a jump: an editor that asks when the user rests
LATE_S: Final = 1.0  # for an answer that nobody waits for: after that it gets nothing ready
PAUSE_S: Final = 2.0  # without a change, until the daemon is told of the text

NOTHING: Final = protocol.Completed(id=0)


class Session:
    """What one editor has said, and the way to the daemon. Lives on an event loop."""

    def __init__(self, paths: Paths, show_status: Callable[[dict[str, Any]], None]) -> None:
        """`show_status` is given the status whenever it changes."""
        self.documents: dict[str, OpenDocument] = {}
        self.last: OpenDocument | None = None  # the document that was last worked on
        self._show_status = show_status
        self._shown: dict[str, Any] = {}  # the status as it was given last
        self._switches = Switches()
        self._is_settled = False  # the settings are known, or will not come
        self._link = Link(paths, client="lsp", changed=self._changed)
        self._is_linked = False  # the link is started when it is first wanted
        self._connected = asyncio.Event()
        self._news: protocol.Changed | None = None  # what the daemon told of itself last
        self._latency_ms: float | None = None  # of the last request that was answered
        self._telling = Telling(self._link, self._is_wanted)
        self._tells_accepted = False  # the editor does, so that the text need not be asked
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Leave the daemon, which forgets what it was told in this session."""
        for doc in self.documents.values():
            for timer in (doc.pausing, doc.warming):
                if timer:
                    timer.cancel()
        self._telling.end()
        for task in self._tasks:
            task.cancel()
        if self._is_linked:
            await self._link.close()

    # -- settings ------------------------------------------------------------------------------

    @property
    def options(self) -> Options:
        """The editor's settings, as they are now."""
        return self._switches.options

    def begin(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings that stand below those that come later; a phrase for each that is no use."""
        return self._switches.begin(settings)

    def configure(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings as the editor has them now, whatever it had before; phrases as for `begin`."""
        mistakes = self._switches.configure(settings)
        if self._is_settled:
            self._follow_settings()
        return mistakes

    def settle(self) -> None:
        """The settings are as they will be: from here on the daemon may hear of documents."""
        if not self._is_settled:
            self._is_settled = True
            self._follow_settings()

    def toggle(self, what: str = "") -> bool:
        """Turn suggestions on or off: in an open document, by its URI, for a language, or in all.

        Answers whether the user wants them there now.
        """
        if doc := self.documents.get(what):
            now = self._switches.toggle_document(doc)
        elif what:
            now = self._switches.toggle_language(what)
        else:
            now = self._switches.toggle_all(self.last)
        self._follow_settings()
        return now

    def is_on(self, doc: OpenDocument) -> bool:
        """Whether the daemon is asked for suggestions in a document."""
        return self._is_settled and not self.off(doc)

    def off(self, doc: OpenDocument) -> Off:
        """Why the daemon is not to hear of a document; "": it is."""
        return self._switches.off(doc, self._news)

    @property
    def is_manual(self) -> bool:
        """Whether nothing is asked unless the user does."""
        return self._switches.is_manual(self._news)

    def _is_wanted(self, doc: OpenDocument) -> bool:
        """Whether the daemon may hear of a document: it is open, and suggestions are on."""
        return self.documents.get(doc.uri) is doc and self.is_on(doc)

    def _follow_settings(self) -> None:
        for doc in self.documents.values():
            if self.is_on(doc):
                self._link_up()
                self._telling.soon(doc)
            else:
                self._let_go(doc)
        self._say_status()

    # -- documents -----------------------------------------------------------------------------

    def opened(self, doc: OpenDocument) -> None:
        """A document was opened, perhaps once more."""
        if before := self.documents.get(doc.uri):
            self._let_go(before)
        self.documents[doc.uri] = doc
        self.work_on(doc)
        doc.indentation = completion.indentation(completion.remembered(doc.document, doc.cursor))
        if self.is_on(doc):
            self._link_up()
            self._telling.soon(doc)

    def changed(self, doc: OpenDocument, cursor: Place) -> None:
        """A document is another now; the last edit was at `cursor`."""
        self.work_on(doc)
        doc.cursor = cursor
        self._supersede(doc)
        if doc.offer and not follow(doc.offer, doc.document):
            self._end_offer(doc, is_followed=False)
        doc.changed_at = time.monotonic()
        if not doc.document.is_synced or self._shown.get("reason") == "too-big":
            self._say_status()
        if not self.is_on(doc):
            return
        loop = asyncio.get_running_loop()
        if doc.pausing is None:
            doc.pausing = loop.call_later(PAUSE_S, self._perhaps_paused, doc)
        if not self.is_manual and not doc.warming and self._is_jump(doc, cursor):
            doc.warming = loop.call_later(WARM_S, self._warm, doc)

    def saved(self, doc: OpenDocument) -> None:
        """A document was saved: what was written is meant, so the daemon need not await a pause."""
        if doc.changed_at is not None and self.is_on(doc):
            self._telling.anew(doc)

    def closed(self, doc: OpenDocument) -> None:
        """A document was closed."""
        self._let_go(doc)
        self.documents.pop(doc.uri, None)
        if self.last is doc:
            self.last = None
            self._say_status()

    def let_go(self, doc: OpenDocument) -> None:
        """Have the daemon forget a document, and hear no more of it until it is opened anew."""
        doc.wanted, doc.is_let_go = False, True
        self._let_go(doc)
        self._say_status()

    def work_on(self, doc: OpenDocument) -> None:
        """Here is where the user is."""
        if self.last is not doc:
            self.last = doc
            self._say_status()

    def _perhaps_paused(self, doc: OpenDocument) -> None:
        """Tell the daemon of the text if nobody has typed for a while; else look again then.

        One timer is set for many keys, rather than set anew at each.
        """
        doc.pausing = None
        if doc.changed_at is None or not self.is_on(doc):
            return
        rest_s = doc.changed_at + PAUSE_S - time.monotonic()
        if rest_s > 0:
            loop = asyncio.get_running_loop()
            doc.pausing = loop.call_later(rest_s, self._perhaps_paused, doc)
            return
        self._telling.anew(doc)

    def _let_go(self, doc: OpenDocument) -> None:
        """Stop all that goes on for a document, and let the daemon forget it."""
        self._supersede(doc)
        if doc.late:
            doc.late.cancel()
            doc.late = None
        self._end_offer(doc, is_followed=True)
        for timer in (doc.pausing, doc.warming):
            if timer:
                timer.cancel()
        doc.pausing = doc.warming = None
        self._telling.let_go(doc)

    # -- suggestions ---------------------------------------------------------------------------

    async def suggest(
        self, doc: OpenDocument, spot: Spot, *, invoked: bool
    ) -> protocol.Completed | None:
        """What could come at a spot; None when another request has taken the place of this one.

        Sees the document as it is when this is first called.
        """
        self.work_on(doc)
        doc.cursor = spot.end
        self._supersede(doc)
        if not self.is_on(doc) or not doc.document.is_synced:
            return NOTHING
        if self.is_manual and not invoked:
            return NOTHING
        patience_s = INVOKED_S if invoked else AUTOMATIC_S
        is_reading = doc.late is not None
        if not invoked and (is_reading or self._is_jump(doc, spot.start)):
            patience_s = JUMP_S
        if doc.warming:
            doc.warming.cancel()
            doc.warming = None
        since = time.perf_counter()
        running = doc.running = Running(self._requested(doc, spot, patience_s, invoked=invoked))
        try:
            await asyncio.wait({running.task}, timeout=patience_s)
        except asyncio.CancelledError:
            running.task.cancel()
            raise
        finally:
            if doc.running is running:
                doc.running = None
        if running.is_superseded:
            return None if self.is_on(doc) else NOTHING
        if not running.task.done():
            # It goes on: the daemon gets ready for this place, for the next key.
            self._let_be_late(doc, running.task)
            return NOTHING
        completed = running.task.result()
        if completed:
            self._latency_ms = 1000 * (time.perf_counter() - since)
        return completed or NOTHING

    def show(self, doc: OpenDocument, place: Place, items: tuple[protocol.Item, ...]) -> None:
        """These are on the screen from now on, perhaps none; their text is as in the document."""
        before = doc.offer.best.id if doc.offer else None
        self._end_offer(doc, is_followed=True)
        if items:
            doc.offer = offered(doc.document, place, items)
            if items[0].id != before:
                self._link.send(protocol.Outcome(suggestion=items[0].id, event="shown"))

    def accepted(self, suggestion: str) -> None:
        """The editor says that a suggestion was taken. The text may have shown it before.

        The first one may be told twice, and is counted once.
        """
        self._tells_accepted = True
        n_characters = 0
        for doc in self.documents.values():
            if doc.ended and doc.ended.best.id == suggestion:
                n_characters = doc.ended.n_at_once
                doc.ended = None
            for item in doc.offer.items if doc.offer else ():
                if item.id == suggestion:
                    n_characters = len(item.text)
                    doc.offer = None
        if self._is_linked:
            self._link.send(
                protocol.Outcome(suggestion=suggestion, event="accepted", characters=n_characters)
            )

    def _is_jump(self, doc: OpenDocument, cursor: Place) -> bool:
        """Whether the daemon will have to read its way to this place."""
        return completion.anchor(doc.document, cursor) != doc.document.mark

    def _warm(self, doc: OpenDocument) -> None:
        """Let the daemon read its way to where the user is, before anybody asks."""
        doc.warming = None
        if doc.running is None and doc.document.is_synced and not self.is_manual:
            spot = Spot(start=doc.cursor, end=doc.cursor)
            self._let_be_late(doc, self._requested(doc, spot, AUTOMATIC_S))

    def _let_be_late(self, doc: OpenDocument, task: Requested) -> None:
        """Go on with a request for which nobody waits, unless the document is closed."""
        doc.late = task

        def end(task: Requested) -> None:
            if doc.late is task:
                doc.late = None

        task.add_done_callback(end)

    def _requested(
        self, doc: OpenDocument, spot: Spot, patience_s: float, *, invoked: bool = False
    ) -> Requested:
        """A request on its way, made from the document as it is now."""
        doc.document.mark = completion.anchor(doc.document, spot.start)
        request = completion.request(
            doc.document,
            spot,
            doc.document.mark,
            name=doc.name,
            path=doc.path,
            language=doc.language,
            indentation=doc.indentation,
            invoked=invoked,
            options=self.options.for_request(),
        )
        self._link_up()
        return self._start(self._completed(doc, request, patience_s))

    def _supersede(self, doc: OpenDocument) -> None:
        if doc.running:
            doc.running.is_superseded = True
            doc.running.task.cancel()
            doc.running = None

    def _end_offer(self, doc: OpenDocument, *, is_followed: bool) -> None:
        if doc.offer:
            for what in outcome(doc.offer, is_followed=is_followed):
                if what.event != "accepted" or not self._tells_accepted:
                    self._link.send(what)
            doc.ended, doc.offer = doc.offer, None

    async def _completed(
        self, doc: OpenDocument, request: protocol.Complete, patience_s: float
    ) -> protocol.Completed | None:
        until = time.monotonic() + patience_s
        if not self._link.is_connected:
            if self._link.problem:  # one that does not come at once does not come soon
                patience_s = min(patience_s, AUTOMATIC_S)
            try:
                await asyncio.wait_for(self._connected.wait(), patience_s)
            except asyncio.TimeoutError:
                self._say_status()
                return None
            # Before Python 3.12 a cancellation is lost if the wait ends in the same turn.
            # And only now is known what the settings of all editors say.
            if not self._is_wanted(doc) or (self.is_manual and not request.invoked):
                return None
        doc.is_known = True
        # One that comes late is of use as well: the daemon gets ready for the next key.
        timeout_s = max(until - time.monotonic(), LATE_S)
        return await self._link.complete(request, timeout_s=timeout_s)

    # -- the daemon ----------------------------------------------------------------------------

    async def ask(self, what: protocol.Order, document: str = "") -> dict[str, Any]:
        """The daemon's answer to an order of the user's. Raises DaemonError."""
        self._link_up()
        if not self._link.is_connected:
            patience_s = AUTOMATIC_S if self._link.problem else INVOKED_S
            with suppress(asyncio.TimeoutError):  # then the link knows why
                await asyncio.wait_for(self._connected.wait(), patience_s)
        return await self._link.ask(what, document)

    @property
    def is_connected(self) -> bool:
        """Whether there is a daemon to ask."""
        return self._link.is_connected

    def status(self, doc: OpenDocument | None = None) -> dict[str, Any]:
        """What an editor shows in its status line, for a document or where the user works."""
        doc = doc or self.last
        off: Off = self.off(doc) if doc else "" if self._switches.is_on() else "off"
        return status.status(
            self._news,
            self._link.problem,
            off=off,
            uri=doc.uri if doc else "",
            language=doc.editors_language if doc else "",
            is_manual=self.is_manual,
            latency_ms=self._latency_ms,
        )

    def _say_status(self) -> None:
        """Tell the editor, unless it knows. How quick the last answer was is told along."""
        # Which document it is about is told, for one may look at another; not so where it is asked
        # for, as that is copied to where others read it.
        now = self.status() | {"uri": self.last.uri if self.last else ""}
        if self._is_settled and now | {"latency_ms": None} != self._shown:
            self._shown = now | {"latency_ms": None}
            self._show_status(now)

    def _link_up(self) -> None:
        if not self._is_linked:
            self._is_linked = True
            self._link.start()

    def _changed(self, news: protocol.Changed | None) -> None:
        """The daemon told what it is about, or is gone; a new one knows nothing of us."""
        before, self._news = self._news, news
        if news is None:
            self._connected.clear()
            for doc in self.documents.values():
                doc.is_known = doc.is_current = False
        else:
            self._connected.set()
            # What was told before may be lost or passed over by now: another model begins with an
            # empty memory, while it is paused nothing is learned, and other settings may have
            # turned on a language that was off. Told again, what it knows costs it next to nothing.
            is_lost = before is None or before.enable != news.enable
            if is_lost or news.state in ("ready", "degraded"):
                self._tell_anew()
        self._say_status()

    def _tell_anew(self) -> None:
        """Tell the daemon all texts, first the one that is worked on; none where it is off."""
        for doc in sorted(self.documents.values(), key=lambda doc: doc is not self.last):
            if self.is_on(doc):
                self._telling.anew(doc)
            elif doc.is_known:
                self._let_go(doc)

    def _start(self, work: "Coroutine[Any, Any, protocol.Completed | None]") -> Requested:
        """A task with an owner, whose error, if any, is looked at."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.debug("a request came to nothing: %s", type(error).__name__)
