"""The daemon at work: clients come and go, requests are answered in turn, orders are obeyed.

Knows connections, their limits and the order of things; knows nothing of models (`engine` does),
and nothing of how the process came to be (`process`). One event loop, no threads but one while
another model is read. No client can do harm to another: each has bounds on what it may send, leave
half sent, leave unread and ask for at once, and whoever exceeds one is hung up on.

What is logged are numbers and sizes: no text, no path.
"""

import asyncio
import itertools
import logging
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from afterword_trainer.durable import StateError
from afterword_trainer.model.bundle import Bundle, BundleError
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import POINTER, Shelf

from afterword_daemon import config, endpoint, protocol
from afterword_daemon.config import ConfigError, Settings
from afterword_daemon.confinement import Confinement
from afterword_daemon.endpoint import EndpointError, Listener
from afterword_daemon.engine import Engine, Superseded
from afterword_daemon.protocol import (
    Ask,
    Cancel,
    Changed,
    Close,
    Complete,
    Failed,
    Frames,
    Hello,
    Outcome,
    ProtocolError,
    Remember,
    ToClient,
    ToDaemon,
    Told,
    Welcome,
    frame,
)
from afterword_daemon.tally import Tally

logger = logging.getLogger(__name__)

MAX_CLIENTS: Final = 64  # editors and terminals of one user
MAX_REQUESTS: Final = 32  # of one client at a time; an editor has one or two
MAX_AT_ONCE: Final = 32  # messages of one client before the others' turn; under a millisecond
MAX_DOCUMENTS: Final = 1000  # open in one client; then the one heard of longest ago is closed
MAX_UNREAD: Final = 1 << 20  # bytes that a client lets wait, beside what the kernel holds
READ_S: Final = 5.0  # from the first byte of a message to its last, and from connecting to Hello
DRAIN_S: Final = 0.5  # for requests that are being answered when the end is ordered
FLUSH_S: Final = 0.2  # for the last answers to leave; together under the second that is promised
LOOK_S: Final = 60.0  # between two looks at our own socket, the one thing done when idle
KEEP_S: Final = 3600.0  # between two signs that it is in use; cleaners wait for six hours and more
REFRESH_S: Final = 1.0  # between two looks at settings and model in use, made when asked something
N_LATENCIES: Final = 1000  # the last ones, for percentiles

_FAILED = "the daemon failed on this request; see: afterword logs"
_KNOWN_CLIENTS = ("lsp", "afterword")  # whose name is logged; others may have put anything there

State = Literal["starting", "ready", "learning", "paused", "no-model", "degraded", "draining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the answers depend on, as it was found on disk."""

    bundle: Bundle | None
    settings: Settings
    model_notice: str = ""  # why another model serves than should
    settings_notice: str = ""  # what is wrong with the settings; those that are not stand


def load(paths: Paths) -> Loaded:
    """The model in use and the settings; what is damaged is replaced by what is not, and said."""
    settings, settings_notice = _settings(paths)
    try:
        bundle, notice = Shelf(paths.models, paths.base).current()
    except (BundleError, StateError) as error:
        bundle, notice = None, str(error)
    return Loaded(
        bundle=bundle,
        settings=settings,
        model_notice=notice or "",
        settings_notice=settings_notice,
    )


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
        self._loaded = loaded
        tally = Tally(paths.data / "counts.json")
        try:
            self._engine = Engine(loaded.bundle, loaded.settings, tally=tally)
        except BundleError as error:
            self._loaded = replace(loaded, bundle=None, model_notice=str(error))
            self._engine = Engine(None, loaded.settings, tally=tally)
        self._confinement = confinement
        self._stay = stay
        self._started = time.time()
        self._clients: set[_Client] = set()
        self._is_alone = asyncio.Event()  # nobody is connected
        self._numbers = itertools.count(1)  # of clients, for the log
        self._answering: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # all, those that answer too
        self._has_work = asyncio.Event()
        self._is_paused = False
        self._is_outdated = False  # a client of another build has come: make room when alone
        self._state: State = "starting"
        self._counts = _Counts()
        self._lock_file = endpoint.file_at(endpoint.lock_of(paths))
        self._stamps = self._current_stamps()
        self._next_refresh = 0.0
        self._reloading = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._listener: Listener | None = None
        self._accepting: asyncio.Server | None = None

    # -- from start to end ---------------------------------------------------------------------

    async def startup(self) -> None:
        """Let clients in."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_without_text)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.end, "asked by the system")
        await self._listen()
        self._keep_task(self._work())
        self._keep_task(self._look_after())
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
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        logger.info("ended: %d requests, %.1f s of processor", self._counts.n, time.process_time())

    async def _listen(self) -> None:
        listener = endpoint.listen(self._paths)
        loop = asyncio.get_running_loop()
        self._accepting = await loop.create_unix_server(
            lambda: _Client(self, next(self._numbers)),
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
        """Once a minute: be found, or be gone."""
        next_keep = time.monotonic() + KEEP_S
        while True:
            await asyncio.sleep(LOOK_S)
            self._counts.note_day()
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
        if not self._clients and minutes > 0 and not self._stay:
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
            logger.error("a task of the daemon failed: %s", _without_text(error))

    # -- clients -------------------------------------------------------------------------------

    def admit(self, client: "_Client") -> bool:
        """Whether there is room for one more."""
        if self._state == "draining" or len(self._clients) >= MAX_CLIENTS:
            return False
        self._clients.add(client)
        self._is_alone.clear()
        self._set_idle_timer()
        return True

    def greet(self, client: "_Client", hello: Hello) -> None:
        """Say who we are; a client of another version may then only order the end."""
        build = endpoint.build()
        client.send(Welcome(protocol=protocol.PROTOCOL_VERSION, build=build, pid=os.getpid()))
        name = hello.client if hello.client in _KNOWN_CLIENTS else "another"
        logger.info("client %d: %s, protocol %d", client.number, name, hello.protocol)
        if hello.protocol != protocol.PROTOCOL_VERSION:
            return
        if hello.build != build:
            self._is_outdated = True
        client.send(self._changed())

    def leave(self, client: "_Client") -> None:
        """Forget what only this client had open."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        for document in client.documents:
            self._close(document)
        self._has_work.set()
        if self._clients:
            return
        self._is_alone.set()
        if self._is_outdated:
            self.end("another version is installed")
        else:
            self._set_idle_timer()

    def take(self, client: "_Client", message: ToDaemon) -> None:
        """Do what a message asks for; if that fails, say so, and go on."""
        try:
            self._take(client, message)
        except Exception as error:  # whatever it is, the other messages are obeyed
            logger.error("a %s failed: %s", type(message).__name__, _without_text(error))
            if isinstance(message, Complete | Ask):
                client.send(Failed(id=message.id, code="internal", message=_FAILED))

    def _take(self, client: "_Client", message: ToDaemon) -> None:
        match message:
            case Complete():
                self._complete(client, message)
            case Remember():
                client.opened(message.document)
                self._engine.remember(message)
                self._has_work.set()
            case Close():
                if message.document in client.documents:
                    del client.documents[message.document]
                    self._close(message.document)
                    self._has_work.set()
            case Outcome():
                self._engine.outcome(message)
                self._has_work.set()
            case Ask():
                self._obey(client, message)
            case Cancel():
                if request := client.requests.get(message.id):
                    request.unwanted = "cancelled"
            case Hello():
                client.drop("a second greeting")

    def close_oldest(self, client: "_Client") -> None:
        """Close the document that this client has spoken of longest ago."""
        document = next(iter(client.documents))
        del client.documents[document]
        self._close(document)

    def _close(self, document: str) -> None:
        if not any(document in client.documents for client in self._clients):
            self._engine.close(document)

    def _tell(self, message: Changed) -> None:
        for client in list(self._clients):
            if client.is_served:
                client.send(message)

    # -- requests ------------------------------------------------------------------------------

    def _complete(self, client: "_Client", message: Complete) -> None:
        if self._state == "draining":
            client.send(Failed(id=message.id, code="draining"))
            return
        if message.id in client.requests:
            client.drop("two requests of one number")
            return
        if len(client.requests) >= MAX_REQUESTS:
            client.send(Failed(id=message.id, code="busy"))
            return
        self._refresh()
        client.opened(message.document)
        for older in client.requests.values():
            if older.message.document == message.document and not older.unwanted:
                older.unwanted = "superseded"
        request = _Request(client=client, message=message)
        client.requests[message.id] = request
        self._answering.add(self._keep_task(self._answer(request)))

    async def _answer(self, request: "_Request") -> None:
        message, client = request.message, request.client
        try:
            completed = await self._engine.complete(message, lambda: bool(request.unwanted))
            client.send(completed)
            self._counts.add(completed.reason or "shown", time.perf_counter() - request.since)
        except Superseded:
            code = request.unwanted or "superseded"
            client.send(Failed(id=message.id, code=code))
            self._counts.add(code)
        except asyncio.CancelledError:
            client.send(Failed(id=message.id, code="draining"))
            raise
        except Exception as error:  # whatever it is, the other requests are answered
            logger.error("a request failed: %s", _without_text(error))
            client.send(Failed(id=message.id, code="internal", message=_FAILED))
            self._counts.add("internal")
        finally:
            del client.requests[message.id]
            self._has_work.set()

    async def _work(self) -> None:
        """What can wait, in slices, while nobody waits for an answer; then sleep."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while not any(client.requests for client in self._clients) and self._work_once():
                # Twice: once for the loop to see what has arrived, once to begin with it.
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    def _work_once(self) -> bool:
        try:
            return self._engine.work()
        except Exception as error:  # without it suggestions are worse, and yet there are some
            logger.error("work that could wait failed: %s", _without_text(error))
            return False

    # -- orders --------------------------------------------------------------------------------

    def _obey(self, client: "_Client", ask: Ask) -> None:
        facts: dict[str, Any] = {}
        match ask.what:
            case "status":
                self._refresh()
                facts = self._status()
            case "stats":
                facts = self._engine.stats()
            case "why":
                facts = self._engine.why(ask.document)
            case "pause" | "resume":
                self._is_paused = ask.what == "pause"
                self._engine.learning = not self._is_paused
                self._change()
            case "reload":
                self._keep_task(self._reload())
            case "forget":
                self._engine.close(ask.document)
                self._has_work.set()
            case "clear-stats":
                self._engine.clear_stats()
            case "drain" | "stop":
                client.send(Told(id=ask.id, facts={"pid": os.getpid()}))
                self.end("asked by a client")
                return
        client.send(Told(id=ask.id, facts=facts))

    def _status(self) -> dict[str, Any]:
        bundle = self._loaded.bundle
        return {
            "state": self._state,
            "detail": self._detail(),
            "pid": os.getpid(),
            "started": self._started,
            "protocol": protocol.PROTOCOL_VERSION,
            "build": endpoint.build(),
            "confinement": self._confinement,
            "model": {
                "id": bundle.id,
                "created": bundle.created,
                "scores": dict(bundle.scores),
            }
            if bundle
            else None,
            "clients": sum(client.is_served for client in self._clients),
            "documents": len({name for client in self._clients for name in client.documents}),
            "requests": dict(self._counts.by_reason),
            "latency_ms": self._counts.percentiles_ms(),
            "cpu_s": {"today": self._counts.cpu_today_s(), "since_start": time.process_time()},
            "resident": _resident(),  # bytes
            "memory": self._engine.memory_by_part(),  # bytes
            "network": _n_network_sockets(),
            "watched": [],
            "files": {
                "socket": str(self._listener.path) if self._listener else "",
                "endpoint": str(endpoint.note_of(self._paths)),
                "lock": str(endpoint.lock_of(self._paths)),
                "counts": str(self._paths.data / "counts.json"),
                "settings": str(config.path_of(self._paths)),
                "models": str(self._paths.models),
                "log": str(self._paths.logs / "daemon.log"),
                "crashes": str(self._paths.logs / "daemon.err"),
            },
        }

    # -- state ---------------------------------------------------------------------------------

    def _detail(self) -> str:
        if self._loaded.bundle is None:
            reason = self._loaded.model_notice
            return reason or "there is no model yet; make one with: trainer learn FOLDER"
        return self._loaded.model_notice or self._loaded.settings_notice

    def _changed(self) -> Changed:
        model = self._loaded.bundle.id if self._loaded.bundle else ""
        return Changed(state=self._state, detail=self._detail(), model=model)

    def _change(self) -> None:
        """Find out what state this is, and tell everybody if it is another one."""
        if self._state == "draining":
            return
        before = self._state
        if self._is_paused:
            self._state = "paused"
        elif self._loaded.bundle is None:
            self._state = "no-model"
        else:
            self._state = "degraded" if self._detail() else "ready"
        if self._state != before:
            logger.info("state: %s", self._state)
        self._tell(self._changed())

    def _refresh(self) -> None:
        """Take up settings and model if they were changed on disk."""
        if time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH_S
        stamps = self._current_stamps()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        self._keep_task(self._reload())

    async def _reload(self) -> None:
        async with self._reloading:  # else an older state of the disk could come last
            loaded = await asyncio.to_thread(load, self._paths)
            before = self._loaded.bundle
            # A model that cannot be read any more can still be asked.
            self._loaded = replace(loaded, bundle=loaded.bundle or before)
        self._engine.settings = loaded.settings
        if loaded.bundle and (before is None or loaded.bundle.id != before.id):
            try:
                self._engine.swap(loaded.bundle)
                logger.info("the model is now %s", loaded.bundle.id)
            except BundleError as error:
                self._loaded = replace(loaded, bundle=before, model_notice=str(error))
        self._set_idle_timer()
        self._has_work.set()
        self._change()

    def _current_stamps(self) -> tuple[Any, ...]:
        return config.stamp(self._paths), _stamp(self._paths.models / POINTER)


# -- one client --------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    client: "_Client"
    message: Complete
    since: float = field(default_factory=time.perf_counter)
    unwanted: Literal["", "superseded", "cancelled"] = ""


class _Client(asyncio.Protocol):
    """One connection: bytes in, messages to the server; messages out; and its limits."""

    def __init__(self, server: Server, number: int) -> None:
        self.number = number
        self.requests: dict[int, _Request] = {}
        self.documents: dict[str, None] = {}  # open here, the one heard of longest ago first
        self.is_served = False  # greeted, and in our protocol
        self._server = server
        self._frames = Frames[ToDaemon](ToDaemon)
        self._arrived: Iterator[ToDaemon] = iter(())
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._was_greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not endpoint.is_ours(transport.get_extra_info("socket")):
            self.drop("a process of another user")
        elif not self._server.admit(self):
            self.drop("one too many")
        else:
            self._set_deadline()

    def data_received(self, data: bytes) -> None:
        self._arrived = self._frames.feed(data)
        self._take_some()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        for request in self.requests.values():
            request.unwanted = "cancelled"
        self._server.leave(self)

    def opened(self, document: str) -> None:
        """Note that this client has the document open."""
        self.documents.pop(document, None)
        self.documents[document] = None
        if len(self.documents) > MAX_DOCUMENTS:
            self._server.close_oldest(self)

    def send(self, message: ToClient) -> None:
        """Send, without ever waiting for the client to read."""
        if self._transport is None or self._is_gone:
            return
        self._transport.write(frame(message))
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self.drop("it does not read")

    def hang_up(self) -> None:
        """When all is sent."""
        if self._transport:
            self._transport.close()

    def drop(self, reason: str) -> None:
        """Hang up now."""
        if self._transport:
            logger.warning("client %d dropped: %s", self.number, reason)
            self._transport.abort()

    @property
    def _is_gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _take_some(self) -> None:
        """A few of the messages that have arrived; before the rest, the other clients' turn."""
        if self._is_gone:
            return
        n_taken = 0
        try:
            for message in islice(self._arrived, MAX_AT_ONCE):
                self._clear_deadline()  # here alone: a byte now and then buys no more time
                self._take(message)
                n_taken += 1
                if self._is_gone:
                    return
        except ProtocolError as error:
            self.drop(str(error))
            return
        assert self._transport
        if n_taken == MAX_AT_ONCE:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_some)
            return
        self._transport.resume_reading()
        if self._frames.is_partial and not self._deadline:
            self._set_deadline()

    def _take(self, message: ToDaemon) -> None:
        if self.is_served:
            self._server.take(self, message)
        elif not self._was_greeted and isinstance(message, Hello):
            self._was_greeted = True
            self.is_served = message.protocol == protocol.PROTOCOL_VERSION
            self._server.greet(self, message)
        elif self._was_greeted and isinstance(message, Ask) and message.what in ("drain", "stop"):
            self._server.take(self, message)
        else:
            self.drop("no greeting in our protocol")

    def _set_deadline(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(READ_S, self.drop, "half a message")

    def _clear_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


# -- figures -----------------------------------------------------------------------------------


class _Counts:
    """What `status` tells of the past."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=N_LATENCIES)
        self._day = date.today()
        self._cpu_before_s = 0.0  # used on the days before this one

    @property
    def n(self) -> int:
        """Requests."""
        return self.by_reason.total()

    def add(self, reason: str, latency_s: float | None = None) -> None:
        """Count a request."""
        self.by_reason[reason] += 1
        if latency_s is not None:
            self._latencies_s.append(latency_s)

    def percentiles_ms(self) -> dict[str, float]:
        """Of the last requests; nothing if there were none."""
        ordered = sorted(self._latencies_s)
        if not ordered:
            return {}
        return {
            "p50": ordered[len(ordered) // 2] * 1e3,
            "p95": ordered[len(ordered) * 95 // 100] * 1e3,
        }

    def note_day(self) -> None:
        """Begin the sum anew on a new day; called once a minute."""
        if date.today() != self._day:
            self._day = date.today()
            self._cpu_before_s = time.process_time()

    def cpu_today_s(self) -> float:
        """Seconds of processor since midnight, or since the start."""
        self.note_day()
        return time.process_time() - self._cpu_before_s


def _settings(paths: Paths) -> tuple[Settings, str]:
    try:
        return config.load(paths), ""
    except ConfigError as error:
        return error.settings, str(error)


def _resident() -> int:
    """Bytes of memory that this process occupies."""
    import psutil  # asked for by people only, and the daemon starts without it

    return int(psutil.Process().memory_info().rss)


def _n_network_sockets() -> int:
    """Sockets of this process that are not local; asked here, as others may not look."""
    import psutil

    return len(psutil.Process().net_connections("inet"))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Another one when the file is another one, or was written to; None: there is none."""
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino, status.st_mtime_ns
    return None


# -- errors in the log -------------------------------------------------------------------------


def _without_text(error: BaseException) -> str:
    """Kind and places of an error. Its message stays out: it may quote what the user wrote."""
    places = []
    trace = error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        places.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}")  # noqa: PTH119
        trace = trace.tb_next
    return f"{type(error).__name__} at {' < '.join(reversed(places))}"


def _log_without_text(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    logger.error("%s: %s", context.get("message"), _without_text(error) if error else "no more")
