"""The daemon at work: clients come and go, requests are answered in turn, orders are obeyed.

Knows clients, what each has asked and has open, and the order of things; knows nothing of models
(`engine` does), of bytes (`connection` does), and nothing of how the process came to be
(`process`). One event loop, and a thread for what the disk may keep waiting.

What is logged are numbers and sizes: no text, no path.
"""

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths

from afterword_daemon import (
    aside,
    config,
    discreet,
    endpoint,
    figures,
    pause,
    protocol,
    sessions,
    tally,
)
from afterword_daemon.confinement import Confinement
from afterword_daemon.connection import Client
from afterword_daemon.current import Current
from afterword_daemon.engine import Superseded
from afterword_daemon.forgetting import Forgetting, ForgettingError
from afterword_daemon.keeping import Keeping
from afterword_daemon.learning import Learning, Progress
from afterword_daemon.loaded import Loaded
from afterword_daemon.presence import Presence
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
from afterword_daemon.sessions import Request, Session, Sessions
from afterword_daemon.tally import Tally
from afterword_daemon.trouble import Trouble

logger = logging.getLogger(__name__)

DRAIN_S: Final = 0.5  # for requests that are being answered when the end is ordered
FLUSH_S: Final = 0.2  # for the last answers to leave; together under the second that is promised
LOOK_S: Final = 5.0  # between two looks at our own socket, the one thing done when idle
REFRESH_S: Final = 1.0  # between two looks at settings and model in use, made when asked something

_FAILED = "the daemon failed on this request; see: afterword logs"
_NOT_WRITTEN_DOWN = (
    "it is suggested no more, but only until the daemon ends, and models may know it"
)
# Why an order cannot be obeyed as things are; anything else is a defect.
_REFUSALS = (config.ConfigError, config.WatchError, ForgettingError, StateError)
_Obey = Callable[[Ask], Coroutine[Any, Any, dict[str, Any]]]
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
        self._aside = aside.Watch(paths)
        self._current = Current(paths, loaded, Tally(paths.data / tally.NAME))
        self._engine = self._current.engine
        self._engine.is_paused = pause.holds(paths)
        self._confinement = confinement
        self._stay = stay
        self._sessions = Sessions()
        numbers = itertools.count(1)  # of clients, for the log
        self._presence = Presence(paths, lambda: Client(self, next(numbers)))
        self._answering: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # all, those that answer too
        self._has_work = asyncio.Event()
        self._learning = Learning(
            paths, loaded.settings, is_paused=self._engine.is_paused, tell=self._learned
        )
        self._keeping = Keeping(
            paths,
            lambda: self._engine.library,
            has_work=self._has_work.set,
            saved=self._learning.saved,
        )
        self._forgetting = Forgetting(paths, tell=self._forgets)
        self._is_outdated = False  # a client of another build has come: make room when alone
        self._state: State = "starting"
        self._told_detail = ""
        self._progress: float | None = None  # of a training
        self._answers = figures.Answers()
        self._meter = figures.Meter(paths.data / figures.USAGE)
        self._uncounted = Trouble("the counts cannot be stored")
        self._next_refresh = 0.0
        self._pausing = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    # -- from start to end ---------------------------------------------------------------------

    async def startup(self) -> None:
        """Let clients in."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(discreet.log_of_loop)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.end, "asked by the system")
        await self._presence.begin()
        self._keep_task(self._work())
        self._keep_task(self._look_after())
        self._keep_task(self._learning.run())
        self._learning.hold(self._forgetting.is_busy)
        self._keep_task(self._forgetting.run())
        self._keeping.look_for_forgotten()
        self._learn_on()
        self._has_work.set()
        self._set_idle_timer()
        self._aside.look()
        self._change()
        logger.info("ready: process %d, confinement %s", os.getpid(), self._confinement)

    def end(self, reason: str) -> None:
        """Take no more clients and no more requests, and be gone within a second."""
        if self._state == "draining":
            return
        logger.info("ending: %s", reason)
        self._presence.close()
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
        for client in self._sessions:
            client.hang_up()
        if self._sessions:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._sessions.is_alone.wait(), FLUSH_S)
        for client in self._sessions:
            client.drop("not read to the end")
        await asyncio.sleep(0)  # for them to be closed
        self._presence.withdraw()
        if self._paths.data.is_dir():  # who removed it wants it to stay so
            with suppress(StateError):  # the last minute of counts is lost then
                self._engine.finish()
            with suppress(StateError):
                self._meter.save()
        logger.info("ended: %d requests, %.1f s of processor", self._answers.n, time.process_time())

    async def _look_after(self) -> None:
        """Every few seconds: be found, or be gone."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._meter.read()  # it begins anew with a new day
            self._refresh()  # nobody may be typing, and yet something is to be forgotten
            self._aside.look()
            if not await self._presence.look():
                self.end("the data folder is gone")
                return
            self._notice()
            if self._uncounted.sentence:
                self._has_work.set()  # nobody may be typing, and there may be room again

    def _set_idle_timer(self) -> None:
        """End some time after the last client has gone."""
        if self._idle:
            self._idle.cancel()
            self._idle = None
        minutes = self._engine.settings.idle_minutes
        is_busy = self._sessions or self._progress is not None or self._forgetting.is_busy
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
        if self._sessions.is_full:
            idle = self._sessions.idle()
            if idle is None:
                return False
            idle.drop("the place of one that does nothing is needed")
            self.leave(idle)
        self._sessions.begin(client)
        self._set_idle_timer()
        return True

    def greet(self, client: Client, hello: Hello) -> None:
        """Say who we are; a client of another version may then only order the end."""
        build = endpoint.build()
        client.send(Welcome(protocol=protocol.PROTOCOL_VERSION, build=build, pid=os.getpid()))
        name = hello.client if hello.client in _KNOWN_CLIENTS else "another"
        if session := self._sessions.of(client):
            session.is_terminal = name == "afterword"
        logger.info("client %d: %s, protocol %d", client.number, name, hello.protocol)
        if hello.protocol != protocol.PROTOCOL_VERSION:
            return
        if hello.build != build:
            self._is_outdated = True
        client.send(self._changed())

    def leave(self, client: Client) -> None:
        """Forget what only this client had open."""
        session = self._sessions.end(client)
        if session is None:
            return
        for document in session.documents:
            self._engine.close(document)
        self._has_work.set()
        if self._sessions:
            return
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
        session = self._sessions.of(client)
        assert session
        if isinstance(message, Complete | Remember | Close):
            if isinstance(message, Remember) and self._keeping.is_forgotten(message.document):
                return
            name = sessions.name_of(client, message.document)
            message = msgspec.structs.replace(message, document=name)
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

    def _opened(self, session: Session, document: str) -> None:
        if surplus := session.opened(document):
            self._shut(session, surplus)

    def _shut(self, session: Session, document: str) -> None:
        if session.shut(document):
            self._engine.close(document)
            self._has_work.set()

    def _tell(self, message: Changed) -> None:
        for client in self._sessions:
            if client.is_served:
                client.send(message)

    # -- requests ------------------------------------------------------------------------------

    def _complete(self, client: Client, session: Session, message: Complete) -> None:
        if self._state == "draining":
            client.send(Failed(id=message.id, code="draining"))
            return
        if message.id in session.requests:
            client.drop("two requests of one number")
            return
        if len(session.requests) >= sessions.MAX_REQUESTS:
            client.send(Failed(id=message.id, code="busy"))
            return
        # A script asks on nobody's behalf; the demo asks at each key, and is not invoked.
        if not (session.is_terminal and message.invoked):
            self._learning.typed()
        self._refresh()
        learn = not self._keeping.is_forgotten(sessions.document_of(message.document))
        self._opened(session, message.document)
        session.give_up(message.document, "superseded")
        request = Request(client=client, session=session, message=message, learn=learn)
        session.requests[message.id] = request
        self._answering.add(self._keep_task(self._answer(request)))

    async def _answer(self, request: Request) -> None:
        message, client = request.message, request.client
        try:
            async with request.session.turn:
                completed = await self._engine.complete(
                    message, lambda: bool(request.unwanted), learn=request.learn
                )
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
            while not self._sessions.has_requests and self._work_once():
                # Twice: once for the loop to see what has arrived, once to begin with it.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            self._keeping.rested()

    async def _store(self, store: Callable[[], None]) -> None:
        """Elsewhere, as a disk may take as long as some keys."""
        try:
            await asyncio.to_thread(store)
        except StateError as error:
            self._uncounted.begin(error)
        else:
            self._uncounted.end()

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
                facts = self._engine.why(sessions.name_of(client, ask.document))
            case "pause" | "resume":
                self._keep_task(self._answer_order(client, ask, self._pause))
                return
            case "watch":
                self._keep_task(self._answer_order(client, ask, self._watch))
                return
            case "reload":
                self._keep_task(self._reload())
            case "forget":
                self._keep_task(self._answer_order(client, ask, self._forget))
                return
            case "settings":
                self._keep_task(self._answer_order(client, ask, self._write_settings))
                return
            case "clear-stats":
                self._engine.clear_stats()
            case "drain" | "stop":
                client.send(Told(id=ask.id, facts={"pid": os.getpid()}))
                self.end("asked by a client")
                return
        client.send(Told(id=ask.id, facts=facts))

    async def _answer_order(self, client: Client, ask: Ask, obey: _Obey) -> None:
        """Obey an order that takes time; whatever becomes of it, whoever asked is told."""
        try:
            facts = await obey(ask)
        except _REFUSALS as error:  # a sentence for people
            client.send(Failed(id=ask.id, code="internal", message=str(error)))
        except Exception as error:  # whatever it is, nobody waits for ever
            logger.error("the order %s failed: %s", ask.what, discreet.without_text(error))
            client.send(Failed(id=ask.id, code="internal", message=_FAILED))
        else:
            client.send(Told(id=ask.id, facts=facts))

    async def _forget(self, ask: Ask) -> dict[str, Any]:
        """Have a file or folder forgotten: at once, and then in the weights."""
        path = protocol.path_of(ask.document)
        if not path:
            raise ForgettingError("what is in no file is forgotten when it is closed")
        try:
            await self._forgetting.ask(path)
        except StateError as error:
            self._keeping.let_go(path)
            self._close_forgotten()
            raise ForgettingError(f"{_NOT_WRITTEN_DOWN}: {error}; then ask again") from error
        self._let_go()
        self._forgets("")
        return {"forgetting": ask.document}

    def _let_go(self) -> None:
        """Take up what the user had forgotten, by whatever way: memory, documents, training."""
        if self._keeping.look_for_forgotten():
            self._close_forgotten()

    def _close_forgotten(self) -> None:
        """Let go of all that is forgotten by now, but for the memory, which knows."""
        self._learning.give_up("something was forgotten")
        for _, session in self._sessions.all():
            for name in session.documents:
                if self._keeping.is_forgotten(sessions.document_of(name)):
                    session.give_up(name, "cancelled")  # it could learn what was typed before
                    self._engine.close(name)
        self._has_work.set()

    async def _write_settings(self, _: Ask) -> dict[str, Any]:
        """See to it that there is a file of settings to edit."""
        path = config.path_of(self._paths)
        if not path.exists():
            await asyncio.to_thread(config.write_template, self._paths)
        return {"file": str(path)}

    async def _watch(self, ask: Ask) -> dict[str, Any]:
        """Learn from a folder, from now on: as the user's settings then say."""
        folder = Path(protocol.path_of(ask.document) or ask.document)
        now = await asyncio.to_thread(config.watched, self._paths, add=[folder])
        await self._reload()
        return {"watched": [*map(str, now)]}

    async def _pause(self, ask: Ask) -> dict[str, Any]:
        """At once, and for the daemons after this one too."""
        async with self._pausing:  # else the disk could have the last word of two
            is_paused = ask.what == "pause"
            self._engine.is_paused = is_paused
            self._has_work.set()  # half of a text may have to be forgotten
            self._learn_on()
            self._change()
            await asyncio.to_thread(pause.put, self._paths, is_paused=is_paused)
        return {}

    def _status(self) -> Status:
        self._notice()
        about = self._current.about
        return Status(
            state=self._state,
            detail=self._detail or self._aside.sentence,
            pid=os.getpid(),
            started=self._presence.started,
            protocol=protocol.PROTOCOL_VERSION,
            build=endpoint.build(),
            confinement=self._confinement,
            model=about.model,
            clients=sum(client.is_served for client in self._sessions),
            documents=self._sessions.n_documents,
            requests=dict(self._answers.by_reason),
            latency_ms=self._answers.latency(),
            cpu_s=self._meter.read(),
            resident=figures.resident(),
            memory=self._engine.memory_by_part(),
            network=endpoint.n_network_sockets(),
            watched=self._keeping.watched(),
            learning=self._learning_facts(),
            files=figures.files_of(self._paths, self._presence.socket),
        )

    def _learning_facts(self) -> protocol.Learning:
        facts = self._learning.facts()
        forgetting = self._forgetting
        if forgetting.is_busy:
            facts = msgspec.structs.replace(
                facts, state="forgetting", detail="", share=forgetting.share
            )
        return msgspec.structs.replace(facts, forgotten=forgetting.last)

    # -- state ---------------------------------------------------------------------------------

    @property
    def _detail(self) -> str:
        """What is not as it should be, and the remedy: one line for people; "" if all is well."""
        return (
            self._current.about.detail
            or self._keeping.problem
            or self._presence.problem
            or self._uncounted.sentence
        )

    def _notice(self) -> None:
        """Let what has gone wrong, or is over, be known."""
        if self._detail != self._told_detail:
            self._change()

    def _changed(self, forgotten: str = "") -> Changed:
        about, settings = self._current.about, self._engine.settings
        is_forgetting = self._forgetting.is_busy
        return Changed(
            state=self._state,
            detail=self._detail,
            progress=self._forgetting.share if is_forgetting else self._progress,
            model=about.model.id if about.model else "",
            forgotten=forgotten,
            trigger=settings.trigger,
            enable=dict(settings.enable),
        )

    def _change(self, forgotten: str = "") -> None:
        """Find out what state this is, and tell everybody; also what was `forgotten`, if it was."""
        if self._state == "draining":
            return
        before = self._state
        if self._forgetting.is_busy:
            self._state = "forgetting"  # though learning be paused, for somebody asked for it
        elif self._engine.is_paused:
            self._state = "paused"
        elif self._current.about.model is None:
            self._state = "no-model"
        elif self._detail:
            self._state = "degraded"
        else:
            self._state = "ready" if self._progress is None else "learning"
        self._told_detail = self._detail
        if self._state != before:
            logger.info("state: %s", self._state)
        self._tell(self._changed(forgotten))

    def _refresh(self) -> None:
        """Take up what was changed on disk: settings, the model in use, what is to be forgotten."""
        self._let_go()  # at every key: what is forgotten is in no answer from then on
        if time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH_S
        if self._current.is_outdated:
            self._keep_task(self._reload())

    async def _reload(self) -> None:
        if await self._current.reload():
            self._set_idle_timer()
            self._learn_on()
            self._has_work.set()
            self._change()

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

    def _forgets(self, sentence: str) -> None:
        """Something is being forgotten, goes on, or has ended: then with what came of it."""
        self._learning.hold(self._forgetting.is_busy)
        self._set_idle_timer()
        if sentence:
            self._next_refresh = 0.0
            self._refresh()  # another model is in use, as a rule
        self._change(sentence)
