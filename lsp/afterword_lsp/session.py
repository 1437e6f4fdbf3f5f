"""One editor's session: its documents, its settings, and what passes between it and the daemon.

Knows the order of events: which request supersedes which, when the daemon is told of a text, and
that it hears nothing of a document for which suggestions are off. Knows nothing of LSP's messages.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from afterword_daemon import protocol
from afterword_daemon.link import Link
from afterword_daemon.starting import DaemonError
from afterword_trainer.paths import Paths

from afterword_lsp import completion, options
from afterword_lsp.completion import Spot
from afterword_lsp.documents import START, Document, Place
from afterword_lsp.offer import Offer, follow, offered, outcome

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
UNSENT_S: Final = 0.02  # between two looks at whether the daemon has read what it was told
# Bytes that may wait for the daemon when it is told of one more document: a quarter of what the
# link lets wait, so that a request has room behind any text.
MOST_UNSENT: Final = 256 * 1024

NOTHING: Final = protocol.Completed(id=0)


@dataclass(slots=True, eq=False, kw_only=True)
class OpenDocument:
    """A document that is open in the editor, and what goes on around it.

    running    the newest request, until its answer, the next request, or the end of patience
    late       one for which nobody waits, so that the daemon is ready for the next key
    warming    a little while after a jump: `late` begins then, unless a request came
    pausing    from a key until the daemon is told; looks again if there was another key
    """

    uri: str
    document: Document
    path: str  # as headers of learned text have it
    language: str  # as learned text calls it
    editors_language: str
    cursor: Place = START  # where work was last seen
    indentation: str = "\t"
    running: "_Running | None" = None
    late: "asyncio.Task[protocol.Completed | None] | None" = None  # for which nobody waits
    offer: Offer | None = None
    ended: Offer | None = None  # the one before, which the editor may yet say was accepted
    is_known: bool = False  # the daemon has heard of it, and has to hear of its end
    is_current: bool = False  # the daemon knows the text as it is, or was before the last pause
    is_forgotten: bool = False  # by wish of the user: the daemon is to learn no more of it
    changed_at: float | None = None  # time.monotonic of the last change that it was not told of
    pausing: asyncio.TimerHandle | None = None
    warming: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """Of the document, as the daemon has it."""
        return completion.name_of(self.uri)


@dataclass(slots=True, eq=False)
class _Running:
    """The one request of a document that is worth an answer."""

    task: "asyncio.Task[protocol.Completed | None]"
    # Cancelling is no sign of it: the task ends some turns of the loop later, and may have had its
    # answer by then.
    is_superseded: bool = False


class Session:
    """What one editor has said, and the way to the daemon. Lives on an event loop."""

    def __init__(self, paths: Paths, tell: Callable[[dict[str, Any]], None]) -> None:
        """`tell` is given the status whenever it changes."""
        self.options = options.Options()
        self.documents: dict[str, OpenDocument] = {}
        self.last: OpenDocument | None = None  # the document that was last worked on
        self._tell = tell
        self._told: dict[str, Any] = {}
        self._initial: dict[str, Any] = {}  # settings that came with the greeting
        self._toggled: dict[str, bool] = {}  # by language or "*", over the settings
        self._is_settled = False  # the settings are known, or will not come
        self._link = Link(paths, client="lsp", changed=self._changed)
        self._is_linked = False  # the link is started when it is first wanted
        self._connected = asyncio.Event()
        self._state: protocol.Changed | None = None  # of the daemon, as it told
        self._untold: dict[OpenDocument, None] = {}  # of which the daemon is to hear, in order
        self._telling: asyncio.Handle | None = None
        self._tells_accepted = False  # the editor does, so that the text need not be asked
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Leave the daemon, which forgets what it was told in this session."""
        for doc in self.documents.values():
            for timer in (doc.pausing, doc.warming):
                if timer:
                    timer.cancel()
        if self._telling:
            self._telling.cancel()
        for task in self._tasks:
            task.cancel()
        if self._is_linked:
            await self._link.close()

    # -- settings ------------------------------------------------------------------------------

    def begin(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings that stand below those that come later; a phrase for each that is no use."""
        self._initial = dict(settings)
        return self.configure({})

    def configure(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings as the editor has them now, whatever it had before; phrases as for `begin`."""
        self.options, mistakes = options.parse({**self._initial, **settings})
        if self._is_settled:
            self._follow_settings()
        return mistakes

    def settle(self) -> None:
        """The settings are as they will be: from here on the daemon may hear of documents."""
        if not self._is_settled:
            self._is_settled = True
            self._follow_settings()

    def toggle(self, language: str | None) -> bool:
        """Turn suggestions on or off, for a language or for all; whether they are on now."""
        if language:
            now = not self._is_on(language, completion.language_of(language))
            self._toggled[language] = self._toggled[completion.language_of(language)] = now
        else:
            now = not self._is_on_here()
            self._toggled = {"*": now}
        self._follow_settings()
        return now

    def is_on(self, doc: OpenDocument) -> bool:
        """Whether suggestions are wanted in a document."""
        return self._is_settled and self._is_on(doc.editors_language, doc.language)

    def _is_on_here(self) -> bool:
        """Where the user works, or would be anywhere."""
        doc = self.last
        return self._is_on(doc.editors_language, doc.language) if doc else self._is_on()

    def _is_on(self, *names: str) -> bool:
        for name in (*names, "*"):
            if name in self._toggled:
                return self._toggled[name]
        return self.options.enables(*names)

    def _follow_settings(self) -> None:
        for doc in self.documents.values():
            if self.is_on(doc):
                self._tell_soon(doc)
            else:
                self._forget(doc)
        self._say_status()

    # -- documents -----------------------------------------------------------------------------

    def opened(self, doc: OpenDocument) -> None:
        """A document was opened, perhaps once more."""
        if before := self.documents.get(doc.uri):
            self._forget(before)
        self.documents[doc.uri] = doc
        self._work_on(doc)
        doc.indentation = completion.indentation(completion.remembered(doc.document, doc.cursor))
        if self.is_on(doc):
            self._tell_soon(doc)

    def changed(self, doc: OpenDocument, cursor: Place) -> None:
        """A document is another now; the last edit was at `cursor`."""
        self._work_on(doc)
        doc.cursor = cursor
        self._supersede(doc)
        if doc.offer and not follow(doc.offer, doc.document):
            self._end_offer(doc, is_followed=False)
        doc.changed_at = time.monotonic()
        if not self.is_on(doc):
            return
        loop = asyncio.get_running_loop()
        if doc.pausing is None:
            doc.pausing = loop.call_later(PAUSE_S, self._perhaps_paused, doc)
        if self.options.trigger == "auto" and not doc.warming and self._is_jump(doc, cursor):
            doc.warming = loop.call_later(WARM_S, self._warm, doc)

    def saved(self, doc: OpenDocument) -> None:
        """A document was saved: what was written is meant, so the daemon need not await a pause."""
        if doc.changed_at is not None and self.is_on(doc):
            doc.is_current = False
            self._tell_soon(doc)

    def closed(self, doc: OpenDocument) -> None:
        """A document was closed."""
        self._forget(doc)
        self.documents.pop(doc.uri, None)
        if self.last is doc:
            self.last = None
            self._say_status()

    async def forget(self, doc: OpenDocument) -> None:
        """Let the daemon forget what it learned of a document. Raises DaemonError.

        Until it is opened anew its text is not told again, nor is learned what is typed into it.
        """
        doc.is_forgotten = True
        await self.ask("forget", doc.name)

    def _work_on(self, doc: OpenDocument) -> None:
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
        doc.is_current = False
        self._tell_soon(doc)

    def _forget(self, doc: OpenDocument) -> None:
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
        self._untold.pop(doc, None)
        doc.is_current = False
        if doc.is_known and self._link.is_connected and not self._close(doc):
            self._tell_soon(doc)

    # -- what the daemon is told of documents --------------------------------------------------

    def _tell_soon(self, doc: OpenDocument) -> None:
        """Let the daemon hear of a document as it will be then, when it is its turn."""
        if self.is_on(doc):
            self._link_up()
        self._untold[doc] = None
        self._tell_on()

    def _tell_on(self) -> None:
        if not self._telling:
            self._telling = asyncio.get_running_loop().call_soon(self._tell_next)

    def _tell_next(self) -> None:
        """Tell of one document; of the others in later turns of the loop, when there is room.

        To join a long text, look at its indentation and encode it takes a millisecond or two, and
        some editors open a hundred at once.
        """
        self._telling = None
        if not self._untold or not self._link.is_connected:
            return  # when there is a daemon again it is told everything
        if self._link.n_unsent > MOST_UNSENT:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(UNSENT_S, self._tell_next)
            return
        doc = next(iter(self._untold))
        del self._untold[doc]
        if self.documents.get(doc.uri) is doc and self.is_on(doc):
            self._remember(doc)
        elif doc.is_known:
            self._close(doc)
        if self._untold:
            self._tell_on()

    def _remember(self, doc: OpenDocument) -> None:
        """Tell the daemon the text, unless it knows it."""
        if doc.is_current or doc.is_forgotten or not doc.document.is_synced:
            return
        text = completion.remembered(doc.document, doc.cursor)
        doc.indentation = completion.indentation(text)
        doc.changed_at = None
        doc.is_current = True  # even if it cannot be said: it could not be the next time
        if self._link.send(
            protocol.Remember(document=doc.name, path=doc.path, language=doc.language, text=text)
        ):
            doc.is_known = True

    def _close(self, doc: OpenDocument) -> bool:
        """Tell the daemon that a document is closed; whether that is on its way."""
        is_said = self._link.send(protocol.Close(document=doc.name))
        doc.is_known = not is_said
        return is_said

    # -- suggestions ---------------------------------------------------------------------------

    async def suggest(
        self, doc: OpenDocument, spot: Spot, *, invoked: bool
    ) -> protocol.Completed | None:
        """What could come at a spot; None when another request has taken the place of this one.

        Sees the document as it is when this is first called.
        """
        self._work_on(doc)
        doc.cursor = spot.end
        self._supersede(doc)
        if not self.is_on(doc) or not doc.document.is_synced:
            return NOTHING
        if self.options.trigger == "manual" and not invoked:
            return NOTHING
        patience_s = INVOKED_S if invoked else AUTOMATIC_S
        is_reading = doc.late is not None
        if not invoked and (is_reading or self._is_jump(doc, spot.start)):
            patience_s = JUMP_S
        if doc.warming:
            doc.warming.cancel()
            doc.warming = None
        running = doc.running = _Running(self._requested(doc, spot, patience_s, invoked=invoked))
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
        return running.task.result() or NOTHING

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
        if doc.running is None and doc.document.is_synced and self.options.trigger == "auto":
            spot = Spot(start=doc.cursor, end=doc.cursor)
            self._let_be_late(doc, self._requested(doc, spot, AUTOMATIC_S))

    def _let_be_late(
        self, doc: OpenDocument, task: "asyncio.Task[protocol.Completed | None]"
    ) -> None:
        """Go on with a request for which nobody waits, unless the document is closed."""
        doc.late = task

        def end(task: "asyncio.Task[protocol.Completed | None]") -> None:
            if doc.late is task:
                doc.late = None

        task.add_done_callback(end)

    def _requested(
        self, doc: OpenDocument, spot: Spot, patience_s: float, *, invoked: bool = False
    ) -> "asyncio.Task[protocol.Completed | None]":
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
            learn=not doc.is_forgotten,
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
            if not self.is_on(doc) or self.documents.get(doc.uri) is not doc:
                return None
        doc.is_known = True
        # One that comes late is of use as well: the daemon gets ready for the next key.
        timeout_s = max(until - time.monotonic(), LATE_S)
        return await self._link.complete(request, timeout_s=timeout_s)

    # -- the daemon ----------------------------------------------------------------------------

    async def ask(self, what: protocol.Order, document: str = "") -> dict[str, Any]:
        """The daemon's answer. Raises DaemonError."""
        if not self._is_linked:
            raise DaemonError("suggestions are off in this editor, so no daemon was asked")
        return await self._link.ask(what, document)

    @property
    def is_connected(self) -> bool:
        """Whether there is a daemon to ask."""
        return self._link.is_connected

    def status(self) -> dict[str, Any]:
        """In a few words what an editor shows in its status line."""
        problem = self._link.problem
        state = self._state or protocol.Changed(
            state="starting", detail=str(problem) if problem else ""
        )
        is_off = not self._is_on_here()
        is_away = self._state is None and problem is not None
        return {
            "state": "off" if is_off else "unavailable" if is_away else state.state,
            "enabled": not is_off,
            "detail": state.detail,
            "progress": state.progress,
            "model": state.model,
        }

    def _say_status(self) -> None:
        """Tell the editor, unless it knows."""
        status = self.status()
        if self._is_settled and status != self._told:
            self._told = status
            self._tell(status)

    def _link_up(self) -> None:
        if not self._is_linked:
            self._is_linked = True
            self._link.start()

    def _changed(self, state: protocol.Changed | None) -> None:
        """The daemon told what it is about, or is gone; a new one knows nothing of us."""
        was_away = self._state is None
        self._state = state
        if state is None:
            self._connected.clear()
            for doc in self.documents.values():
                doc.is_known = doc.is_current = False
        else:
            self._connected.set()
            # What was told before may be lost or passed over by now: another model begins with an
            # empty memory, while it is paused nothing is learned, and other settings may have
            # turned on a language that was off. Told again, what it knows costs it next to nothing.
            if was_away or state.state in ("ready", "degraded"):
                self._tell_anew()
        self._say_status()

    def _tell_anew(self) -> None:
        """Tell the daemon all texts, first the one that is worked on."""
        for doc in sorted(self.documents.values(), key=lambda doc: doc is not self.last):
            if self.is_on(doc):
                doc.is_current = False
                self._tell_soon(doc)

    def _start(
        self, work: "Coroutine[Any, Any, protocol.Completed | None]"
    ) -> "asyncio.Task[protocol.Completed | None]":
        """A task with an owner, whose error, if any, is looked at."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.debug("a request came to nothing: %s", type(error).__name__)
