"""The daemon at work: clients come and go, requests are answered in turn, orders are obeyed.

Knows clients, what each has asked and has open, and the order of things; knows nothing of models
(`engine` does), of bytes (`connection` does), and nothing of how the process came to be
(`process`). One event loop, and a thread for what the disk may keep waiting.

What is logged are numbers and sizes: no text, no path.
"""

import asyncio
import ctypes
import gc
import itertools
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from afterword_trainer import remembering
from afterword_trainer.durable import StateError
from afterword_trainer.model.bundle import BundleError
from afterword_trainer.paths import Paths
from afterword_trainer.remembering import Remembered

from afterword_daemon import config, discreet, endpoint, figures, learning, pause, protocol
from afterword_daemon.config import Settings
from afterword_daemon.confinement import Confinement
from afterword_daemon.connection import Client
from afterword_daemon.endpoint import EndpointError, Listener
from afterword_daemon.engine import Engine, Superseded
from afterword_daemon.keeping import Keeping
from afterword_daemon.learning import Learning, Progress
from afterword_daemon.loaded import Loaded, load, stamps
from afterword_daemon.protocol import (
    Ask,
    Cancel,
    Changed,
    Close,
    Complete,
    Failed,
    Hello,
    Outcome,
    Remember,
    State,
    Status,
    ToDaemon,
    Told,
    Welcome,
)
from afterword_daemon.served import MEMORY_BYTES
from afterword_daemon.tally import Tally
from afterword_daemon.watching.messages import INDEX

logger = logging.getLogger(__name__)

MAX_CLIENTS: Final = 64  # editors and terminals of one user
MAX_REQUESTS: Final = 32  # of one client at a time; an editor has one or two
MAX_DOCUMENTS: Final = 1000  # open in one client; then the one heard of longest ago is closed
DRAIN_S: Final = 0.5  # for requests that are being answered when the end is ordered
FLUSH_S: Final = 0.2  # for the last answers to leave; together under the second that is promised
LOOK_S: Final = 5.0  # between two looks at our own socket, the one thing done when idle
KEEP_S: Final = 3600.0  # between two signs that it is in use; cleaners wait for six hours and more
REFRESH_S: Final = 1.0  # between two looks at settings and model in use, made when asked something

AnyT = TypeVar("AnyT")

_FAILED = "the daemon failed on this request; see: afterword logs"
_USAGE = "processor.json"
_COUNTS = "counts.json"
_KNOWN_CLIENTS = ("lsp", "afterword")  # whose name is logged; others may have put anything there


async def serve(
    paths: Paths,
    loaded: Loaded,
    *,
    confinement: Confinement,
    ready: Callable[[], None],
    stay: bool = False,
) -> None:
    """Be the daemon until told to end; the caller holds the lock.

    With `stay` it goes on when nobody is connected, whatever the settings say.
    `ready` is called when clients can connect. Raises EndpointError or StateError if they never
    will.
    """
    server = Server(paths, loaded, confinement, stay=stay)
    del loaded  # and with it weights that nobody asks for, where a graph serves
    await server.startup()
    ready()
    try:
        await server.ended.wait()
    finally:
        await server.shutdown()


class Server:
    """All that outlives a connection."""

    def __init__(
        self, paths: Paths, loaded: Loaded, confinement: Confinement, *, stay: bool
    ) -> None:
        self.ended = asyncio.Event()
        self._paths = paths
        tally = Tally(paths.data / _COUNTS)
        try:
            self._engine = Engine(
                loaded.bundle, loaded.settings, remembered=_remembered(paths, loaded), tally=tally
            )
        except BundleError as error:
            loaded = replace(loaded, bundle=None, model_notice=str(error))
            self._engine = Engine(None, loaded.settings, tally=tally)
        self._about = loaded.about
        self._confinement = confinement
        self._stay = stay
        self._started = time.time()
        self._clients: dict[Client, _Session] = {}
        self._is_alone = asyncio.Event()  # nobody is connected
        self._numbers = itertools.count(1)  # of clients, for the log
        self._answering: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # all, those that answer too
        self._has_work = asyncio.Event()
        self._engine.is_paused = pause.holds(paths)
        self._learning = Learning(
            paths, loaded.settings, is_paused=self._engine.is_paused, tell=self._learned
        )
        self._keeping = Keeping(
            paths,
            lambda: self._engine.library,
            has_work=self._has_work.set,
            saved=self._learning.saved,
        )
        self._is_outdated = False  # a client of another build has come: make room when alone
        self._state: State = "starting"
        self._progress: float | None = None  # of a training
        self._answers = figures.Answers()
        self._meter = figures.Meter(paths.data / _USAGE)
        self._lock_file = endpoint.file_at(endpoint.lock_of(paths))
        self._stamps = loaded.stamps
        self._next_refresh = 0.0
        self._reloading = asyncio.Lock()
        # Models are read in one thread: the C library keeps for each what it once had. Twenty-four
        # swaps of the base left 160 MB resident where 63 had been; so, and tidied up, 83 at most.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._pausing = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._listener: Listener | None = None
        self._accepting: asyncio.Server | None = None

    # -- from start to end ---------------------------------------------------------------------

    async def startup(self) -> None:
        """Let clients in."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(discreet.log_of_loop)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.end, "asked by the system")
        await self._listen()
        self._keep_task(self._work())
        self._keep_task(self._look_after())
        self._keep_task(self._learning.run())
        self._keeping.look_for_forgotten()
        self._learn_on()
        self._has_work.set()
        self._set_idle_timer()
        self._change()
        logger.info("ready: process %d, confinement %s", os.getpid(), self._confinement)

    def end(self, reason: str) -> None:
        """Take no more clients and no more requests, and be gone within a second."""
        if self._state == "draining":
            return
        logger.info("ending: %s", reason)
        if self._accepting:
            self._accepting.close()
        self._state = "draining"
        self._tell(Changed(state="draining", detail=reason))
        self.ended.set()

    async def shutdown(self) -> None:
        """Answer what is being answered, hang up, and leave nothing that leads here."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=DRAIN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._keeping.close(), return_exceptions=True)
        for client in self._clients:
            client.hang_up()
        if self._clients:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._is_alone.wait(), FLUSH_S)
        for client in list(self._clients):
            client.drop("not read to the end")
        await asyncio.sleep(0)  # for them to be closed
        if self._listener:
            endpoint.withdraw(self._paths, self._listener)
        if self._paths.data.is_dir():  # who removed it wants it to stay so
            with suppress(StateError):  # the last minute of counts is lost then
                self._engine.finish()
            with suppress(StateError):
                self._meter.save()
        logger.info("ended: %d requests, %.1f s of processor", self._answers.n, time.process_time())

    async def _listen(self) -> None:
        listener = endpoint.listen(self._paths)
        loop = asyncio.get_running_loop()
        self._accepting = await loop.create_unix_server(
            lambda: Client(self, next(self._numbers)),
            sock=listener.socket,
            backlog=endpoint.BACKLOG,
        )
        self._listener = listener
        self._announce()

    def _announce(self) -> None:
        assert self._listener
        endpoint.announce(
            self._paths,
            self._listener,
            protocol=protocol.PROTOCOL_VERSION,
            started=self._started,
        )

    async def _look_after(self) -> None:
        """Every few seconds: be found, or be gone."""
        next_keep = time.monotonic() + KEEP_S
        while True:
            await asyncio.sleep(LOOK_S)
            self._meter.read()  # it begins anew with a new day
            self._refresh()  # nobody may be typing, and yet something is to be forgotten
            if endpoint.file_at(endpoint.lock_of(self._paths)) != self._lock_file:
                # Whoever removed it makes room for another daemon, which would not see us.
                self.end("the data folder is gone")
                return
            assert self._listener
            assert self._accepting
            try:
                if not self._listener.is_in_place():
                    logger.warning("the socket was removed; making another one")
                    self._accepting.close()
                    await self._listen()
                elif endpoint.read(self._paths) is None:
                    self._announce()
            except (EndpointError, StateError) as error:
                logger.error("clients cannot find the daemon: %s", type(error).__name__)
            if time.monotonic() > next_keep:
                next_keep = time.monotonic() + KEEP_S
                self._listener.keep()

    def _set_idle_timer(self) -> None:
        """End some time after the last client has gone."""
        if self._idle:
            self._idle.cancel()
            self._idle = None
        minutes = self._engine.settings.idle_minutes
        is_busy = self._clients or self._progress is not None
        if not is_busy and minutes > 0 and not self._stay:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(minutes * 60, self.end, "nobody was connected for long")

    def _keep_task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._answering.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a task of the daemon failed: %s", discreet.without_text(error))

    # -- clients -------------------------------------------------------------------------------

    def admit(self, client: Client) -> bool:
        """Whether there is room for one more."""
        if self._state == "draining":
            return False
        if len(self._clients) >= MAX_CLIENTS:
            # An editor has something open. Who has nothing, and comes again, loses nothing.
            idle = (one for one, session in self._clients.items() if session.is_idle)
            oldest = next(idle, None)
            if oldest is None:
                return False
            oldest.drop("the place of one that does nothing is needed")
            self.leave(oldest)
        self._clients[client] = _Session()
        self._is_alone.clear()
        self._set_idle_timer()
        return True

    def greet(self, client: Client, hello: Hello) -> None:
        """Say who we are; a client of another version may then only order the end."""
        build = endpoint.build()
        client.send(Welcome(protocol=protocol.PROTOCOL_VERSION, build=build, pid=os.getpid()))
        name = hello.client if hello.client in _KNOWN_CLIENTS else "another"
        if session := self._clients.get(client):
            session.is_terminal = name == "afterword"
        logger.info("client %d: %s, protocol %d", client.number, name, hello.protocol)
        if hello.protocol != protocol.PROTOCOL_VERSION:
            return
        if hello.build != build:
            self._is_outdated = True
        client.send(self._changed())

    def leave(self, client: Client) -> None:
        """Forget what only this client had open."""
        session = self._clients.pop(client, None)
        if session is None:
            return
        for request in session.requests.values():
            request.unwanted = "cancelled"
        for document in session.documents:
            self._engine.close(document)
        self._has_work.set()
        if self._clients:
            return
        self._is_alone.set()
        if self._is_outdated:
            self.end("another version is installed")
        else:
            self._set_idle_timer()

    def handle(self, client: Client, message: ToDaemon) -> None:
        """Do what a message asks for; if that fails, say so, and go on."""
        try:
            self._dispatch(client, message)
        except Exception as error:  # whatever it is, the other messages are obeyed
            logger.error("a %s failed: %s", type(message).__name__, discreet.without_text(error))
            if isinstance(message, Complete | Ask):
                client.send(Failed(id=message.id, code="internal", message=_FAILED))

    def _dispatch(self, client: Client, message: ToDaemon) -> None:
        session = self._clients[client]
        if isinstance(message, Complete | Remember | Close):
            # Two editors may have one file open, with different text in it.
            name = _name(client, message.document)
            message = msgspec.structs.replace(message, document=name)
            if name in session.forgotten:
                if isinstance(message, Remember):
                    return
                if isinstance(message, Complete):
                    message = msgspec.structs.replace(message, learn=False)
        match message:
            case Complete():
                self._complete(client, session, message)
            case Remember():
                self._opened(session, message.document)
                self._engine.remember(message)
                self._has_work.set()
            case Close():
                self._shut(session, message.document)
            case Outcome():
                self._engine.outcome(message)
                self._has_work.set()
            case Ask():
                self._obey(client, message)
            case Cancel():
                if request := session.requests.get(message.id):
                    request.unwanted = "cancelled"
            case Hello():
                client.drop("a second greeting")

    def _opened(self, session: "_Session", document: str) -> None:
        """Note that a client has the document open."""
        session.documents.pop(document, None)
        session.documents[document] = None
        if len(session.documents) > MAX_DOCUMENTS:
            self._shut(session, next(iter(session.documents)))

    def _shut(self, session: "_Session", document: str) -> None:
        """Note that a client has the document open no more."""
        if document not in session.documents:
            return
        del session.documents[document]
        session.forgotten.discard(document)
        session.cancel(document)
        self._engine.close(document)
        self._has_work.set()

    def _tell(self, message: Changed) -> None:
        for client in list(self._clients):
            if client.is_served:
                client.send(message)

    # -- requests ------------------------------------------------------------------------------

    def _complete(self, client: Client, session: "_Session", message: Complete) -> None:
        if self._state == "draining":
            client.send(Failed(id=message.id, code="draining"))
            return
        if message.id in session.requests:
            client.drop("two requests of one number")
            return
        if len(session.requests) >= MAX_REQUESTS:
            client.send(Failed(id=message.id, code="busy"))
            return
        # A script asks on nobody's behalf; the demo asks at each key, and is not invoked.
        if not (session.is_terminal and message.invoked):
            self._learning.typed()
        self._refresh()
        self._opened(session, message.document)
        for older in session.requests.values():
            if older.message.document == message.document and not older.unwanted:
                older.unwanted = "superseded"
        request = _Request(client=client, session=session, message=message)
        session.requests[message.id] = request
        self._answering.add(self._keep_task(self._answer(request)))

    async def _answer(self, request: "_Request") -> None:
        message, client = request.message, request.client
        try:
            async with request.session.turn:
                completed = await self._engine.complete(message, lambda: bool(request.unwanted))
            client.send(completed)
            self._answers.add(completed.reason or "shown", time.perf_counter() - request.since)
        except Superseded:
            code = request.unwanted or "superseded"
            client.send(Failed(id=message.id, code=code))
            self._answers.add(code)
        except asyncio.CancelledError:
            client.send(Failed(id=message.id, code="draining"))
            raise
        except Exception as error:  # whatever it is, the other requests are answered
            logger.error("a request failed: %s", discreet.without_text(error))
            client.send(Failed(id=message.id, code="internal", message=_FAILED))
            self._answers.add("internal")
        finally:
            del request.session.requests[message.id]
            self._has_work.set()

    async def _work(self) -> None:
        """What can wait, in slices, while nobody waits for an answer; then sleep."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            if store := self._engine.counts_due():
                self._keep_task(self._store(store))
            while not any(one.requests for one in self._clients.values()) and self._work_once():
                # Twice: once for the loop to see what has arrived, once to begin with it.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            self._keeping.rested()

    async def _store(self, store: Callable[[], None]) -> None:
        """Elsewhere, as a disk may take as long as some keys."""
        try:
            await asyncio.to_thread(store)
        except StateError as error:
            logger.error("the counts cannot be stored: %s", discreet.without_text(error))

    def _work_once(self) -> bool:
        """A few milliseconds of the engine's work; False: nothing is left."""
        try:
            return self._engine.work()
        except Exception as error:  # without it suggestions are worse, and yet there are some
            logger.error("work that could wait failed: %s", discreet.without_text(error))
            return False

    # -- orders --------------------------------------------------------------------------------

    def _obey(self, client: Client, ask: Ask) -> None:
        facts: dict[str, Any] = {}
        match ask.what:
            case "status":
                self._refresh()
                facts = msgspec.to_builtins(self._status())
            case "stats":
                facts = self._engine.stats()
            case "why":
                facts = self._engine.why(_name(client, ask.document))
            case "pause" | "resume":
                self._keep_task(self._pause(client, ask))
                return
            case "watch":
                self._keep_task(self._watch(client, ask))
                return
            case "reload":
                self._keep_task(self._reload())
            case "forget":
                self._forget(ask.document)
            case "clear-stats":
                self._engine.clear_stats()
            case "drain" | "stop":
                client.send(Told(id=ask.id, facts={"pid": os.getpid()}))
                self.end("asked by a client")
                return
        client.send(Told(id=ask.id, facts=facts))

    def _forget(self, document: str) -> None:
        """Forget what anybody has in a document; no more is learned until it is opened anew."""
        for client, session in self._clients.items():
            name = _name(client, document)
            if name in session.documents:
                session.cancel(name)  # it could learn what was typed before
                session.forgotten.add(name)
                self._engine.close(name)
        self._has_work.set()

    async def _watch(self, client: Client, ask: Ask) -> None:
        """Learn from a folder, from now on: as the user's settings then say."""
        try:
            now = await asyncio.to_thread(config.watched, self._paths, add=[Path(ask.document)])
        except (config.ConfigError, config.WatchError, StateError) as error:
            client.send(Failed(id=ask.id, code="internal", message=str(error)))
            return
        await self._reload()
        client.send(Told(id=ask.id, facts={"watched": [*map(str, now)]}))

    async def _pause(self, client: Client, ask: Ask) -> None:
        """At once, and for the daemons after this one too."""
        async with self._pausing:  # else the disk could have the last word of two
            is_paused = ask.what == "pause"
            self._engine.is_paused = is_paused
            self._has_work.set()  # half of a text may have to be forgotten
            self._learn_on()
            self._change()
            try:
                await asyncio.to_thread(pause.put, self._paths, is_paused=is_paused)
            except StateError as error:
                client.send(Failed(id=ask.id, code="internal", message=str(error)))
                return
        client.send(Told(id=ask.id))

    def _status(self) -> Status:
        documents = (session.documents for session in self._clients.values())
        return Status(
            state=self._state,
            detail=self._about.detail,
            pid=os.getpid(),
            started=self._started,
            protocol=protocol.PROTOCOL_VERSION,
            build=endpoint.build(),
            confinement=self._confinement,
            model=self._about.model,
            clients=sum(client.is_served for client in self._clients),
            documents=len(set().union(*documents)),
            requests=dict(self._answers.by_reason),
            latency_ms=self._answers.latency(),
            cpu_s=self._meter.read(),
            resident=figures.resident(),
            memory=self._engine.memory_by_part(),
            network=endpoint.n_network_sockets(),
            watched=self._keeping.watched(),
            learning=self._learning.facts(),
            files={
                "socket": str(self._listener.path) if self._listener else "",
                "endpoint": str(endpoint.note_of(self._paths)),
                "lock": str(endpoint.lock_of(self._paths)),
                "counts": str(self._paths.data / _COUNTS),
                "usage": str(self._paths.data / _USAGE),
                "pause": str(pause.file_of(self._paths)),
                "settings": str(config.path_of(self._paths)),
                "models": str(self._paths.models),
                "memory": str(remembering.path_of(self._paths)),
                "index": str(self._paths.data / INDEX),
                "learning": str(self._paths.data / learning.NAME),
                "log": str(self._paths.logs / "daemon.log"),
                "crashes": str(self._paths.logs / "daemon.err"),
                "reader's log": str(self._paths.logs / "reader.err"),
                "training log": str(self._paths.logs / learning.ERRORS),
            },
        )

    # -- state ---------------------------------------------------------------------------------

    def _changed(self) -> Changed:
        model = self._about.model
        return Changed(
            state=self._state,
            detail=self._about.detail,
            progress=self._progress,
            model=model.id if model else "",
        )

    def _change(self) -> None:
        """Find out what state this is, and tell everybody if it is another one."""
        if self._state == "draining":
            return
        before = self._state
        if self._engine.is_paused:
            self._state = "paused"
        elif self._about.model is None:
            self._state = "no-model"
        elif self._about.detail:
            self._state = "degraded"
        else:
            self._state = "ready" if self._progress is None else "learning"
        if self._state != before:
            logger.info("state: %s", self._state)
        self._tell(self._changed())

    def _refresh(self) -> None:
        """Take up what was changed on disk: settings, the model in use, what is to be forgotten."""
        if time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH_S
        if self._keeping.look_for_forgotten():
            self._learning.give_up("something was forgotten")
        if stamps(self._paths) != self._stamps:
            self._keep_task(self._reload())

    async def _reload(self) -> None:
        async with self._reloading:  # else an older state of the disk could come last
            before, now = self._stamps, stamps(self._paths)
            if now == before:
                return
            if now.model == before.model:
                # A model is 20 MB to read, and this one is in use.
                settings, notice = await asyncio.to_thread(
                    config.in_force, self._paths, self._engine.settings
                )
                self._about = replace(self._about, settings_notice=notice)
            else:
                settings = await self._take_up()
                gc.collect()  # the model before may be known to itself alone
                await self._load(_give_back)
            self._stamps = now  # of before it was read, so that nothing is missed
            self._engine.settings = settings
        self._set_idle_timer()
        self._learn_on()
        self._has_work.set()
        self._change()

    async def _take_up(self) -> Settings:
        """Answer by the model that is in use by now; the settings beside it."""
        loaded = await self._load(lambda: load(self._paths, self._engine.settings))
        before = self._about
        bundle = loaded.bundle
        if bundle and (before.model is None or bundle.id != before.model.id):
            try:
                # Its network is built anew, which may take longer than a key.
                await self._load(lambda: self._engine.swap(bundle))
                logger.info("the model is now %s", bundle.id)
            except BundleError as error:
                loaded = replace(loaded, bundle=None, model_notice=str(error))
        elif bundle and not loaded.model_notice:
            # Who mends the shelf says once why another model serves; it holds as long as it does.
            loaded = replace(loaded, model_notice=before.model_notice)
        about = loaded.about
        # A model that cannot be read any more can still be asked.
        self._about = replace(about, model=about.model or before.model)
        return loaded.settings

    async def _load(self, work: Callable[[], AnyT]) -> AnyT:
        return await asyncio.get_running_loop().run_in_executor(self._loader, work)

    def _learn_on(self) -> None:
        """Learn from what is watched, if anything is to be learned."""
        settings, is_paused = self._engine.settings, self._engine.is_paused
        self._keeping.watch(settings, is_paused=is_paused)
        self._learning.adjust(settings, is_paused=is_paused)

    def _learned(self, progress: Progress) -> None:
        """A training has begun, gone on, halted or ended."""
        self._progress = progress.share if progress.phase in ("training", "halted") else None
        self._set_idle_timer()
        if progress.phase == "ended":
            self._next_refresh = 0.0
            self._refresh()  # it may have put another model to use
        self._change()


def _name(client: Client, document: str) -> str:
    """Of a document that a client has open, as the engine knows it."""
    return f"{client.number} {document}"


def _give_back() -> None:
    """Have the C library return what nobody uses any more, if it knows how to."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _remembered(paths: Paths, loaded: Loaded) -> Remembered | None:
    """The memory as it was stored, if it fits the model."""
    if loaded.bundle is None:
        return None
    path = remembering.path_of(paths)
    return remembering.load(path, loaded.bundle.alphabet, at_most_bytes=MEMORY_BYTES)


@dataclass(slots=True, eq=False)
class _Session:
    """What a client has asked, and what it has open, the one heard of longest ago first."""

    requests: "dict[int, _Request]" = field(default_factory=dict)  # by their ids
    documents: dict[str, None] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)  # of those, until they are opened anew
    is_terminal: bool = False  # `afterword` itself, and no editor
    # One request of each client at a time: who asks many waits for itself, and others for one.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_idle(self) -> bool:
        """Whether it has asked for nothing that matters by now."""
        return not self.requests and not self.documents

    def cancel(self, document: str) -> None:
        """Give up what is asked of a document."""
        for request in self.requests.values():
            if request.message.document == document and not request.unwanted:
                request.unwanted = "cancelled"


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    client: Client
    session: _Session
    message: Complete
    since: float = field(default_factory=time.perf_counter)
    unwanted: Literal["", "superseded", "cancelled"] = ""
