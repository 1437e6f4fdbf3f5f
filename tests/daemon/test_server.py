"""The daemon at work, as real processes and real sockets see it: orders, limits, and the end."""

import asyncio
import base64
import json
import logging
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import pytest
from afterword_daemon import (
    client,
    config,
    endpoint,
    forgetting,
    loaded,
    process,
    protocol,
    server,
    sessions,
)
from afterword_daemon.client import Connection, RefusedError, StartError
from afterword_daemon.protocol import (
    Ask,
    Cancel,
    Changed,
    Close,
    Complete,
    Completed,
    Failed,
    Hello,
    Outcome,
    Remember,
    Told,
    Welcome,
    frame,
)
from afterword_trainer import base
from afterword_trainer.model.step import needs_weights
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import Shelf
from daemons import (
    FAIL,
    TIMEOUT_S,
    UNFIT,
    WAIT,
    Raw,
    connect,
    eventually,
    foreigner,
    lives,
    odd,
    pid_of,
    raw,
    request,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

Start = Callable[..., Connection]
is_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


# -- answers -----------------------------------------------------------------------------------


def test_who_greets_is_welcomed_and_told_how_it_is(served: Paths) -> None:
    """Before anything else is asked."""
    with raw(served) as one:
        heard = one.hears()
        welcome, changed = next(heard), next(heard)

    assert welcome == Welcome(
        protocol=protocol.PROTOCOL_VERSION, build=endpoint.build(), pid=pid_of(served)
    )
    assert changed == Changed(state="ready", model="base", enable={"*": True})


def test_a_request_is_answered_by_the_model(connection: Connection) -> None:
    """With the id it came with, and the model that answered."""
    completed = connection.complete(request("The river r", document="one", path="notes/one.md"))

    assert completed.model == "base"


def test_status_tells_everything_there_is_to_know(connection: Connection, served: Paths) -> None:
    """For people, and for `doctor`."""
    connection.complete(request("The river r"))
    status = connection.ask("status")

    assert status["state"] == "ready"
    assert status["model"]["id"] == "base"
    assert status["pid"] == pid_of(served)
    assert status["confinement"] == ("seccomp" if sys.platform == "linux" else "none")
    assert status["network"] == 0
    assert status["clients"] == 1
    assert sum(status["requests"].values()) >= 1
    assert 0 < status["latency_ms"]["p50"] <= status["latency_ms"]["p95"]
    assert 0 < status["cpu_s"]["today"] <= status["cpu_s"]["since_start"]
    assert status["resident"] > 1 << 20
    assert Path(status["files"]["socket"]).is_socket()
    assert Path(status["files"]["log"]).is_file()


def test_only_answers_of_a_model_have_a_latency(empty_base: Paths) -> None:
    """Others take microseconds, and would make it look quicker than it is."""
    with client.Connection.open(empty_base, spawn=True, client="afterword") as connection:
        connection.complete(request("x"))
        status = connection.status()

    assert status.requests == {"no-model": 1}
    assert status.latency_ms is None


def test_the_processor_of_a_day_is_that_of_all_its_daemons(start: Start, paths: Paths) -> None:
    """One that ends by itself at noon has not forgotten the morning."""
    first = start().status().cpu_s
    client.stop(paths, client="afterword")
    second = start().status().cpu_s

    assert first.today == first.since_start > 0
    assert second.today >= first.today + second.since_start


def test_the_latest_request_for_a_document_wins(odd_served: Paths) -> None:
    """Older ones are superseded, wherever they are; other documents are let alone."""
    with raw(odd_served) as one:
        for id, document, text in [(1, "a", WAIT), (2, "b", WAIT), (3, "a", WAIT), (4, "a", "x")]:
            one.say(Complete(id=id, document=document, before=text))
        one.say(Cancel(id=2))

        answers = {}
        for message in one.hears():
            if isinstance(message, Completed | Failed):
                answers[message.id] = getattr(message, "code", "completed")
            if len(answers) == 4:
                break
    assert answers == {1: "superseded", 2: "cancelled", 3: "superseded", 4: "completed"}


def test_nothing_goes_on_for_a_document_that_is_gone(odd_served: Paths) -> None:
    """When it was closed; other documents are let alone."""
    with raw(odd_served) as one:
        one.say(Complete(id=1, document="a", before=WAIT))
        one.say(Complete(id=2, document="b", before="x"))
        one.say(Close(document="a"))
        answers = {}
        for message in one.hears():
            if isinstance(message, Completed | Failed):
                answers[message.id] = getattr(message, "code", "completed")
            if len(answers) == 2:
                break
    assert answers == {1: "cancelled", 2: "completed"}


def test_who_asks_too_much_at_once_is_told_so(odd_served: Paths) -> None:
    """Two and thirty requests of one client; others have their own."""
    with raw(odd_served) as one, raw(odd_served) as other:
        for id in range(33):
            one.say(Complete(id=id, document=str(id), before=WAIT))
        other.say(Complete(id=33, document="x", before="x"))

        assert one.answer(32) == Failed(id=32, code="busy")
        assert isinstance(other.answer(33), Completed)


def test_what_nobody_waits_for_is_not_worked_on(
    odd_served: Paths, odd_connection: Connection
) -> None:
    """A client that went away holds up nobody who works on the same document."""
    with raw(odd_served) as one:
        one.say(Complete(id=1, document="a", before=WAIT))
        one.say(Ask(id=2, what="why"))
        one.answer(2)

    assert odd_connection.complete(request("x", document="a")).model == "base"
    assert odd_connection.ask("status")["requests"]["cancelled"] >= 1


def test_who_asks_much_waits_for_itself(served: Paths, connection: Connection) -> None:
    """The others wait for one of the requests, however many and long they are."""
    with raw(served) as one:
        for id in range(32):
            text = f"{id} is a long word\n" * 800  # each another, or one would serve them all
            one.say(Complete(id=id, document=str(id), before=text))
        one.say(Ask(id=99, what="why"))
        heard = one.hears()
        n_answered = 0
        while not isinstance(message := next(heard), Told):  # now all have arrived
            n_answered += isinstance(message, Completed)
        assert connection.complete(request("x", document="other")).model == "base"
        one.say(Ask(id=100, what="why"))
        while not isinstance(message := next(heard), Told):
            n_answered += isinstance(message, Completed)
    assert n_answered < 16


def test_a_request_that_fails_fails_alone(odd_served: Paths, odd_connection: Connection) -> None:
    """Its asker is told, without what went wrong quoting the text; everybody else is served."""
    with pytest.raises(RefusedError, match=r"see: afterword logs") as failure:
        odd_connection.complete(request(f"my diary{FAIL}"))

    assert failure.value.code == "internal"
    assert odd_connection.complete(request("x")).model == "base"
    log = (odd_served.logs / "daemon.log").read_text()
    assert "a request failed: KeyError at daemons.py:" in log
    assert "diary" not in log


def test_everybody_hears_when_learning_is_paused(served: Paths, connection: Connection) -> None:
    """Editors show it, whoever ordered it."""
    with raw(served) as one:
        for order, state in [("pause", "paused"), ("resume", "ready")]:
            connection.ask(order)  # type: ignore[arg-type]
            assert one.change(state)
    assert connection.ask("status")["state"] == "ready"


def test_what_a_client_had_open_is_forgotten_with_it(served: Paths, connection: Connection) -> None:
    """What another has open under the same name is its own, and stays."""
    n_before = connection.status().documents
    with raw(served) as one:
        one.say(Complete(id=1, document="ours", before="The river r"))
        one.answer(1)
        assert connection.ask("why", document="ours") == {}
        connection.complete(request("The river r", document="ours"))
        assert connection.status().documents == n_before + 2

    assert eventually(lambda: connection.status().documents == n_before + 1)
    assert connection.ask("why", document="ours")


# A trainer that has forgotten at once, and one that takes as long as it likes.
FORGETS = {"trainee__FORGET": [sys.executable, "-c", "pass"], "forgetting__SLICE_S": 0.01}
FORGETS_LONG = {"trainee__FORGET": [sys.executable, "-c", "import time; time.sleep(100)"]}


@pytest.fixture
def diary(tmp_path: Path) -> str:
    """A file of the user's."""
    path = tmp_path / "diary.md"
    path.write_text("Quillfeather rose in the night and fell by day.\n" * 100)
    return str(path)


def test_what_is_forgotten_is_forgotten_of_everybody(
    start: Start, paths: Paths, diary: str
) -> None:
    """And not learned any more from whoever else has it open, nor when it is opened anew."""
    text = Path(diary).read_text()
    connection = start(*odd(**FORGETS))

    def is_known() -> bool:
        asked = request("On Monday Quillfe", document="elsewhere", invoked=True)
        return any(item.text.startswith("ather") for item in connection.complete(asked).items)

    with raw(paths) as one:
        one.say(Remember(document=diary, text=text))
        assert eventually(is_known)
        assert connection.ask("forget", document=diary) == {"forgetting": diary}
        assert eventually(lambda: not is_known())
        for _ in range(2):
            one.say(Remember(document=diary, text=text))
            one.say(Complete(id=1, document=diary, before=text[-2000:]))
            assert isinstance(one.answer(1), Completed)
            assert not is_known()
            one.say(Close(document=diary))


def test_nothing_goes_on_for_a_document_that_is_forgotten(
    start: Start, paths: Paths, diary: str
) -> None:
    """Whoever asks for it; not even what became of the last request is known."""
    connection = start(*odd(**FORGETS))
    connection.complete(request("The river r", document=diary))
    assert connection.ask("why", document=diary)["explanation"]
    with raw(paths) as one:
        one.say(Complete(id=1, document=diary, before=WAIT))
        connection.ask("forget", document=diary)
        assert one.answer(1) == Failed(id=1, code="cancelled")
    assert connection.ask("why", document=diary) == {}


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_what_is_typed_into_a_forgotten_file_is_not_learned(
    start: Start, paths: Paths, diary: str, is_forgotten: bool
) -> None:
    """Not even while it is open; of any other file it is."""
    connection = start(*odd(**FORGETS))
    if is_forgotten:
        connection.ask("forget", document=diary)
    typed = ""
    for word in ["Wumpeldorf ", "sings ", "of ", "brisket.\n"] * 6:
        typed += word
        connection.complete(request(typed, document=diary))
    last = connection.complete(request(typed + "Wumpel", document=diary, invoked=True))
    assert any(item.text.startswith("dorf") for item in last.items) != is_forgotten


def test_everybody_hears_of_forgetting(start: Start, paths: Paths, diary: str) -> None:
    """That it goes on, paused or not, and what came of it; `status` tells it too."""
    connection = start(*odd(**FORGETS))
    with raw(paths) as one:
        connection.ask("pause")
        connection.ask("forget", document=diary)
        assert isinstance(news := one.change("forgetting"), Changed)
        assert (news.progress, news.forgotten) == (None, "")
        ended = next(m for m in one.hears() if isinstance(m, Changed) and m.forgotten)
    assert (ended.state, ended.forgotten) == ("paused", "forgotten; no model had seen it")
    learning = connection.status().learning
    assert learning.forgotten
    assert (learning.state, learning.forgotten.sentence) == ("paused", ended.forgotten)


def test_forgetting_is_shown_while_it_goes_on(start: Start, paths: Paths, diary: str) -> None:
    """And its child ends with the daemon, that which is killed too."""
    connection = start(*odd(**FORGETS_LONG))
    connection.ask("forget", document=diary)
    assert connection.status().learning.state == "forgetting"
    assert connection.status().state == "forgetting"
    connection.ask("stop")
    assert eventually(lambda: not (paths.data / "endpoint.json").exists())
    again = start(*odd(**FORGETS))
    told = again.status().learning
    assert eventually(lambda: again.status().learning.forgotten is not None), told


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("/nowhere/at/all", "it is not there and was never learned; check the spelling"),
        ("untitled:Untitled-1", "is forgotten when it is closed"),
        ("", "is forgotten when it is closed"),
    ],
)
def test_what_cannot_be_forgotten_is_said(
    connection: Connection, document: str, error: str
) -> None:
    """In a sentence; nothing is begun."""
    with pytest.raises(RefusedError, match=re.escape(error)):
        connection.ask("forget", document=document)
    assert connection.status().state == "ready"


def test_where_nothing_can_be_written_the_memory_forgets_all_the_same(
    start: Start, paths: Paths, diary: str
) -> None:
    """Of a file that is open too, whoever opens it again; and the refusal says so."""
    text = Path(diary).read_text()
    connection = start(*odd(**FORGETS, forgetting__NAME=f"file/{forgetting.NAME}"))
    (paths.data / "file").touch()

    def is_known() -> bool:
        asked = request("On Monday Quillfe", document="elsewhere", invoked=True)
        return any(item.text.startswith("ather") for item in connection.complete(asked).items)

    with raw(paths) as one:
        one.say(Remember(document=diary, text=text))
        assert eventually(is_known)
        with pytest.raises(RefusedError, match="suggested no more, but only until"):
            connection.ask("forget", document=str(Path(diary).parent))
        assert eventually(lambda: not is_known())
        one.say(Remember(document=diary, text=text))
        one.say(Complete(id=1, document=diary, before=text[-2000:]))
        assert isinstance(one.answer(1), Completed)
        assert not is_known()


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ("forget", "forgetting___check"),
        ("watch", "config__watched"),
        ("settings", "config__write_template"),
        ("pause", "pause__put"),
    ],
)
def test_an_order_that_fails_is_answered(
    start: Start, paths: Paths, diary: str, what: Any, broken: str
) -> None:
    """Whatever is wrong; the log has it, without a path, and the daemon goes on."""
    connection = start(*odd(**{broken: None}))
    with pytest.raises(RefusedError, match="failed on this request") as failure:
        connection.ask(what, document=diary)
    assert failure.value.code == "internal"
    assert connection.status().pid == pid_of(paths)
    log = (paths.logs / endpoint.LOG).read_text()
    assert f"the order {what} failed: TypeError" in log
    assert diary not in log


def test_settings_are_written_to_be_edited(start: Start, paths: Paths) -> None:
    """Once, with every setting explained; what stands there stays."""
    connection = start()
    file = Path(connection.ask("settings")["file"])
    assert file == config.path_of(paths)
    assert "eagerness" in file.read_text()
    file.write_text("seed = 7\n")
    assert connection.ask("settings") == {"file": str(file)}
    assert file.read_text() == "seed = 7\n"


def test_everybody_hears_what_the_settings_forbid(start: Start, paths: Paths) -> None:
    """At the greeting and whenever they change, so that nobody asks in vain."""
    connection = start(*odd(server__REFRESH_S=0.0))
    with raw(paths) as one:
        first = one.change("ready")
        configure(paths, 'trigger = "manual"\n[enable]\npython = false\n')
        connection.ask("reload")
        changes = (m for m in one.hears() if isinstance(m, Changed))
        news = next(change for change in changes if change.trigger == "manual")
    assert isinstance(first, Changed)
    assert (first.trigger, first.enable) == ("auto", {"*": True})
    assert news.enable == {"*": True, "python": False}


def test_counts_are_told_and_forgotten(connection: Connection) -> None:
    """What was shown counts until it is cleared."""
    shown = connection.complete(request("The river r", invoked=True)).items
    connection.send(Outcome(suggestion=shown[0].id if shown else "", event="shown"))
    assert connection.ask("stats")["total"]["shown"] == len(shown[:1])
    connection.ask("clear-stats")
    assert connection.ask("stats")["total"]["shown"] == 0


def test_a_reload_takes_up_another_model_while_it_is_asked(start: Start, paths: Paths) -> None:
    """Nobody is refused or kept waiting; and a damaged one is not taken up, but told of."""
    connection = start(*odd(server__REFRESH_S=1e6))  # it does not look by itself
    shelf = Shelf(paths.models, paths.base)
    shelf.use(shelf.publish(bases.bundle("you-1")))
    assert connection.complete(request("x")).model == "base"
    with raw(paths) as one:
        one.say(Ask(id=0, what="reload"))
        models = []
        for id in range(1, 10_000):
            one.say(Complete(id=id, document="one", before="x" * (id % 7)))
            answer = one.answer(id)
            assert isinstance(answer, Completed)
            models.append(answer.model)
            if answer.model == "you-1":
                break
    assert {*models} <= {"base", "you-1"}
    assert models[-1] == "you-1"

    shelf.use(shelf.publish(bases.bundle("you-2")))
    damage(paths.models / "you-2" / "weights.bin")
    connection.ask("reload")
    assert eventually(lambda: connection.ask("status")["state"] == "degraded")
    assert connection.complete(request("x")).model == "you-1"
    assert "you-2 cannot be used" in connection.ask("status")["detail"]


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_a_damaged_model_is_replaced_by_the_one_before(start: Start, paths: Paths) -> None:
    """From the start; people are told which and why, and the log that there is something to see."""
    shelf = Shelf(paths.models, paths.base)
    for name in ("you-1", "you-2"):
        shelf.use(shelf.publish(bases.bundle(name)))
    damage(paths.models / "you-2" / "weights.bin")
    status = start().status()

    assert (status.state, status.model and status.model.id) == ("degraded", "you-1")
    assert "you-2 cannot be used" in status.detail
    log = (paths.logs / "daemon.log").read_text()
    assert "WARNING shelf.current has something to say; see: afterword doctor" in log
    assert str(paths.models) not in log
    assert (paths.logs / "daemon.err").read_bytes() == b""


def test_a_damaged_model_is_told_of_by_the_next_daemon_too(start: Start, paths: Paths) -> None:
    """Until somebody chooses a model."""
    shelf = Shelf(paths.models, paths.base)
    for name in ("you-1", "you-2"):
        shelf.use(shelf.publish(bases.bundle(name)))
    damage(paths.models / "you-2" / "weights.bin")
    for _ in range(2):
        with start() as connection:
            assert connection.status().state == "degraded"
            assert "you-2" in connection.status().detail
            connection.ask("stop")
        assert eventually(lambda: not (paths.data / "endpoint.json").exists())
    connection = start(*odd(server__REFRESH_S=0.0))
    assert connection.status().state == "degraded"
    shelf.use("you-1")
    assert eventually(lambda: connection.status().state == "ready")


def test_why_another_model_serves_is_told_for_as_long_as_it_does(
    start: Start, paths: Paths
) -> None:
    """Putting the shelf in order is no reason to fall silent; a model that somebody chooses is."""
    connection = start(*odd(server__REFRESH_S=0.0))
    shelf = Shelf(paths.models, paths.base)
    shelf.use(shelf.publish(bases.bundle("you-1")))
    shelf.publish(bases.bundle("you-2"))

    def answers(model: str) -> bool:
        return connection.complete(request("x")).model == model

    assert eventually(lambda: answers("you-1"))
    damage(paths.models / "you-2" / "weights.bin")
    shelf.use("base")
    assert eventually(lambda: answers("base"))
    damage(paths.models / "you-1" / "weights.bin")
    point_at(paths, "you-1", "base")
    assert eventually(lambda: connection.status().state == "degraded")
    mended = (paths.models / "CURRENT").stat().st_mtime_ns
    configure(paths, "seed = 3\n")
    for _ in range(20):
        connection.complete(request("x"))
        status = connection.status()
        assert (status.state, status.model and status.model.id) == ("degraded", "base")
        assert "you-1 cannot be used" in status.detail
        time.sleep(0.01)
    assert (paths.models / "CURRENT").stat().st_mtime_ns == mended

    shelf.use(shelf.publish(bases.bundle("you-3")))
    assert eventually(lambda: answers("you-3"))
    assert eventually(lambda: connection.status().state == "ready")


def point_at(paths: Paths, *history: str) -> None:
    """As if they had been put to use, newest first; nobody looks whether they are sound."""
    Shelf(paths.models, paths.base)._point(*history)


def test_a_model_that_cannot_be_run_is_none(start: Start, paths: Paths) -> None:
    """What is sound on disk may still be of no use here; nobody is refused for that."""
    shelf = Shelf(paths.models, paths.base)
    shelf.use(shelf.publish(bases.bundle(UNFIT)))
    connection = start(*odd())
    status = connection.status()

    assert (status.state, status.detail) == ("no-model", f"{UNFIT}: it cannot be run here; rest")
    assert connection.complete(request("x")).reason == "no-model"


# -- limits ------------------------------------------------------------------------------------


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


HELLO = frame(Hello(protocol=protocol.PROTOCOL_VERSION, build=endpoint.build(), client="afterword"))
STATUS = frame(Ask(id=1, what="why"))
OFFENCES = {
    "no greeting": STATUS,
    "two greetings": HELLO + HELLO,
    "words of a server": framed(b'{"type":"welcome","protocol":1,"build":"","pid":1}'),
    "another protocol, and then a request": frame(Hello(protocol=99, build="", client="")) + STATUS,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "nothing": framed(b""),
    "zeros": bytes(100),
    "a frame of 100 MB": (100 << 20).to_bytes(4, "big") + bytes(1 << 20),
    "a frame of 4 GB": b"\xff" * 8,
    "deep lists": HELLO + framed(b"[" * 10_000),
    "deep objects": HELLO + framed(b'{"type":"close","document":"","x":' + b'{"":' * 10_000),
    "no Unicode": HELLO + framed(b'{"type":"close","document":"\xff"}'),
    "no number": HELLO + framed(b'{"type":"cancel","id":NaN}'),
    "no such order": HELLO + framed(b'{"type":"ask","id":1,"what":"__init__"}'),
    "a name of 1 MB": HELLO + framed(b'{"type":"close","document":"%s"}' % (b"x" * (1 << 20))),
    "1 MB before a cursor": HELLO
    + framed(b'{"type":"complete","id":1,"document":"","before":"%s"}' % (b"x" * (1 << 20))),
    "1 MB after a cursor": HELLO
    + framed(b'{"type":"complete","id":1,"document":"","after":"%s"}' % (b"x" * (1 << 20))),
    "a path of 1 MB": HELLO
    + framed(b'{"type":"complete","id":1,"document":"","path":"%s"}' % (b"x" * (1 << 20))),
    "a language of 1 MB": HELLO
    + framed(b'{"type":"remember","document":"","language":"%s"}' % (b"x" * (1 << 20))),
    "an indentation of 1 MB": HELLO
    + framed(b'{"type":"complete","id":1,"document":"","indentation":"%s"}' % (b" " * (1 << 20))),
    "a document of 1 MB": HELLO
    + framed(b'{"type":"remember","document":"","text":"%s"}' % (b"x" * (1 << 20))),
    "a suggestion of 1 MB": HELLO
    + framed(b'{"type":"outcome","suggestion":"%s","event":"shown"}' % (b"x" * (1 << 20))),
    "a thousand alternatives": HELLO
    + framed(b'{"type":"complete","id":1,"document":"","options":{"alternatives":1000}}'),
    "no such outcome": HELLO + framed(b'{"type":"outcome","suggestion":"1","event":"eaten"}'),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_who_makes_no_sense_is_hung_up_on_and_nobody_else_notices(
    served: Paths, connection: Connection, offence: str
) -> None:
    """After any of it the others are answered as before."""
    with raw(served, greets=False) as one:
        with suppress(BrokenPipeError, ConnectionResetError):
            one.socket.sendall(OFFENCES[offence])
        assert one.was_dropped()

    assert connection.complete(request("x")).model == "base"


def test_a_number_used_twice_is_an_offence(odd_served: Paths) -> None:
    """There could be no telling the answers apart."""
    with raw(odd_served) as one:
        one.say(Complete(id=1, document="a", before=WAIT))
        one.say(Complete(id=1, document="b", before="x"))

        assert one.was_dropped()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_no_bytes_disturb_the_others(
    served: Paths, connection: Connection, data: some.DataObject
) -> None:
    """Whatever is sent: random, or sound frames cut, doubled and changed; and then silence."""
    mutate(served, data.draw(some.randoms(use_true_random=False)), data.draw(some.binary()))

    assert connection.complete(request("x")).model == "base"


@pytest.mark.slow
def test_no_bytes_disturb_the_others_for_long(served: Paths, connection: Connection) -> None:
    """The same ten thousand times; memory is as it was."""
    rng = random.Random(7)
    for n in range(10_000):
        mutate(served, rng, rng.randbytes(rng.randrange(40)))
        if n == 1000:
            before = connection.ask("status")["resident"]
        if n % 100 == 0:
            assert connection.complete(request("x")).model == "base"

    assert connection.ask("status")["resident"] - before < 5 << 20


def mutate(paths: Paths, rng: random.Random, noise: bytes) -> None:
    """A client that greets or not, says sound and damaged things, and goes."""
    sound = [
        STATUS,
        frame(Complete(id=rng.randrange(1 << 40), document="d", before="some text")),
        frame(Remember(document="d", text="some more text")),
        frame(Outcome(suggestion="7", event="shown")),
        frame(Cancel(id=1)),
        frame(Close(document="d")),
    ]
    said = bytearray(b"".join(rng.choices(sound, k=rng.randrange(5))))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(said) + 1)
        match rng.randrange(4):
            case 0:
                said[at:at] = noise
            case 1:
                del said[at:]
            case 2:
                said[at : at + 1] = rng.randbytes(1)
            case 3:
                said += said[:at]
    # So many come and go that some are one too many.
    with suppress(OSError), raw(paths, greets=rng.random() < 0.8) as one:
        one.socket.sendall(bytes(said))


@pytest.mark.parametrize("how", ["half a message", "no greeting", "a byte now and then"])
def test_who_does_not_finish_is_not_waited_for(
    odd_served: Paths, odd_connection: Connection, how: str
) -> None:
    """A message has some seconds from its first byte to its last, however busily it drips."""
    with raw(odd_served, greets=how != "no greeting") as one:
        if how == "half a message":
            one.socket.sendall(STATUS[:-1])
        if how == "a byte now and then":
            message = frame(Remember(document="x", text="x" * 100_000))
            one.socket.settimeout(0.02)
            with suppress(BrokenPipeError, ConnectionResetError):
                for byte in message[:100]:
                    one.socket.sendall(bytes([byte]))
                    with suppress(TimeoutError):
                        one.socket.recv(1 << 16)
                raise AssertionError("it may drip for as long as it will")
        assert one.was_dropped()

    assert odd_connection.complete(request("x")).model == "base"


def test_who_is_silent_between_messages_may_stay(odd_served: Paths) -> None:
    """A greeting and whole messages owe nothing."""
    with raw(odd_served) as quiet, raw(odd_served) as half:
        quiet.say(Ask(id=1, what="why"))
        quiet.answer(1)
        half.socket.sendall(STATUS[:-1])
        assert half.was_dropped()  # so the time has passed

        quiet.say(Ask(id=2, what="why"))
        assert isinstance(quiet.answer(2), Told)


def test_who_does_not_read_is_hung_up_on(odd_served: Paths, odd_connection: Connection) -> None:
    """Answers to one that never takes them are not kept for ever."""
    with raw(odd_served) as one, suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(1000):
            one.socket.sendall(STATUS * 100)
        raise AssertionError("it is listened to for ever")

    assert odd_connection.complete(request("x")).model == "base"
    assert "it does not read" in (odd_served.logs / "daemon.log").read_text()


def test_a_flood_is_answered_whole_and_in_turn(served: Paths, connection: Connection) -> None:
    """However much comes at once, nothing of it is lost, and others have their turn."""
    flood = b"".join(frame(Ask(id=id, what="why")) for id in range(5000))
    with raw(served) as one, ThreadPoolExecutor(1) as sender:
        sender.submit(one.socket.sendall, flood)
        told = (message.id for message in one.hears() if isinstance(message, Told))
        for id in range(5000):
            assert next(told) == id
            if id % 1000 == 0:
                assert connection.complete(request("x")).model == "base"


@pytest.mark.slow
def test_documents_as_large_as_may_be_hold_up_nobody(served: Paths, connection: Connection) -> None:
    """Every key of another client is answered while they are sent, learned and closed."""
    text = "".join(random.Random(7).choices("etaoin shrdlu.\n", k=protocol.MAX_TEXT))
    with raw(served) as one, ThreadPoolExecutor(1) as sender:
        large = [frame(Remember(document=f"{n}", text=text[n:] + text[:n])) for n in range(8)]
        closed = [frame(Close(document=f"{n}")) for n in range(8)]
        sending = sender.submit(one.socket.sendall, b"".join(large + closed))
        for n in range(100):
            typed = "The river rose over the meadows and the old bridge. " * 2
            assert connection.complete(request(typed[:n], document="typed")).model == "base"
        sending.result(TIMEOUT_S)


@pytest.mark.slow
def test_there_is_room_for_so_many(start: Start, paths: Paths) -> None:
    """One too many is turned away while all have something open; who has nothing makes room."""

    def is_let_in() -> bool:
        with suppress(ConnectionError), raw(paths) as another:
            return any(isinstance(message, Welcome) for message in another.hears_some())
        return False

    first = start(*odd(sessions__MAX_CLIENTS=2))
    assert first.complete(request("x")).model == "base"
    with raw(paths) as second:
        second.say(Remember(document="one", text="x"))
        second.say(Ask(id=1, what="why"))
        second.answer(1)
        assert not is_let_in()
        second.say(Close(document="one"))
        second.say(Ask(id=2, what="why"))
        second.answer(2)
        assert is_let_in()
        assert second.was_dropped()
    assert first.complete(request("x")).model == "base"


def test_who_does_nothing_keeps_nobody_out(served: Paths, connection: Connection) -> None:
    """Who has something open stays, and gets its answers; whoever comes is let in."""
    connection.complete(request("x"))
    with ExitStack() as stack:
        idle = [stack.enter_context(raw(served)) for _ in range(sessions.MAX_CLIENTS + 10)]
        assert idle[0].was_dropped()
        with connect(served) as late, raw(served, greets=False):
            assert late.complete(request("x", document="late")).model == "base"
            assert connection.complete(request("xy")).model == "base"
            assert connection.status().clients <= sessions.MAX_CLIENTS


def test_who_does_nothing_cannot_keep_it_from_being_stopped(start: Start, paths: Paths) -> None:
    """However many they are, the order is heard."""
    start()
    pid = pid_of(paths)
    with ExitStack() as stack:
        for _ in range(sessions.MAX_CLIENTS + 1):
            stack.enter_context(raw(paths))
        assert client.stop(paths, client="afterword") == "asked"
    assert eventually(lambda: not lives(pid))


@pytest.mark.slow
def test_who_works_cannot_keep_it_from_being_stopped(start: Start, paths: Paths) -> None:
    """No order is heard where there is no room; whoever holds the lock is told by a signal."""
    start(*odd(sessions__MAX_CLIENTS=2)).close()
    pid = pid_of(paths)
    with ExitStack() as stack:
        for _ in range(2):
            one = stack.enter_context(raw(paths))
            one.say(Remember(document="one", text="x"))
            one.say(Ask(id=1, what="why"))
            one.answer(1)
        assert client.stop(paths, client="afterword") == "forced"
    assert eventually(lambda: not lives(pid))
    assert "ending: asked by the system" in (paths.logs / "daemon.log").read_text()


@pytest.mark.slow
def test_so_many_documents_are_kept_of_one_client(start: Start, paths: Paths) -> None:
    """Then the one heard of longest ago is closed; none outlives the client."""
    connection = start(*odd(sessions__MAX_DOCUMENTS=3))
    with raw(paths) as one:
        for n in range(10):
            one.say(Remember(document=str(n), text="x"))
        one.say(Close(document="9"))
        one.say(Ask(id=1, what="why"))
        one.answer(1)
        assert connection.ask("status")["documents"] == 2
    assert eventually(lambda: connection.ask("status")["documents"] == 0)


@pytest.mark.slow
@is_linux
def test_without_descriptors_the_clients_there_are_served(start: Start, paths: Paths) -> None:
    """Others wait at the door, without the daemon running in circles, until there are some."""
    connection = start()
    pid = pid_of(paths)
    n_open = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n_open + 2, n_open + 2))
    with ExitStack() as stack:
        crowd = [stack.enter_context(raw(paths)) for _ in range(6)]
        for one in crowd[:2]:
            next(one.hears())
        before = cpu_s(pid)
        for _ in range(50):
            assert connection.complete(request("x")).model == "base"
            time.sleep(0.01)
        assert cpu_s(pid) - before < 0.4  # of more than half a second
    with raw(paths) as late:
        assert isinstance(next(late.hears()), Welcome)


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_process_of_another_user_hears_nothing(start: Start, paths: Paths) -> None:
    """Even where folder and socket would let it in, it is hung up on before a byte is read."""
    connection = start()
    listener = Path(connection.ask("status")["files"]["socket"])
    for place in (listener, *listener.parents[:2]):
        place.chmod(0o777)
    other = foreigner(
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "try: s.sendall(bytes.fromhex(sys.argv[2])); print(s.recv(100))\n"
        "except OSError: print(b'')\n",
        str(listener),
        (HELLO + STATUS).hex(),
    )

    assert other.communicate(timeout=10)[0] == "b''\n"
    assert "a process of another user" in (paths.logs / "daemon.log").read_text()


# -- coming and going --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        "stop",
        pytest.param("drain", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_it_ends_when_told_to_and_leaves_nothing(start: Start, paths: Paths, how: Any) -> None:
    """Neither a request that takes long nor a client that does not read can keep it."""
    start(*odd())
    pid = pid_of(paths)
    with raw(paths) as one, raw(paths) as deaf:
        one.say(Complete(id=1, document="a", before=WAIT))
        with suppress(TimeoutError):
            deaf.socket.settimeout(0.05)
            for _ in range(10):
                deaf.socket.sendall(STATUS * 100)
        ordered = time.monotonic()
        if isinstance(how, str):
            one.say(Ask(id=2, what=how))
        else:
            os.kill(pid, how)
        heard = list(one.hears())

    assert Changed(state="draining", detail=heard_detail(how)) in heard
    assert Failed(id=1, code="draining") in heard
    assert eventually(lambda: not lives(pid))
    assert time.monotonic() - ordered < 1  # it is promised, with all that can keep it
    assert endpoint.read(paths) is None
    assert not any(path.exists() for path in endpoint.candidates(paths))
    assert " ended: " in (paths.logs / "daemon.log").read_text()


def heard_detail(how: Any) -> str:
    return "asked by a client" if isinstance(how, str) else "asked by the system"


@pytest.mark.slow
def test_it_ends_when_nobody_has_been_there_for_long(start: Start, paths: Paths) -> None:
    """Not while somebody is."""
    configure(paths, "idle_minutes = 0.002")
    connection = start(*odd(config__LEAST_IDLE_MINUTES=0.0))
    pid = pid_of(paths)
    with raw(paths) as one:
        assert list(one.hears_some())
    until = time.monotonic() + 5 * 60 * 0.002  # and nobody else comes or goes
    while time.monotonic() < until:
        assert connection.complete(request("x")).model == "base"
    assert lives(pid)
    connection.close()

    assert eventually(lambda: not lives(pid))
    assert "nobody was connected for long" in (paths.logs / "daemon.log").read_text()


def test_a_second_daemon_leaves_the_first_alone(served: Paths, connection: Connection) -> None:
    """It says that there is one, by its exit code."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom afterword_daemon import endpoint, process\n"
        "from daemons import paths_in\nclaimed = endpoint.claimed\n"
        "endpoint.claimed = lambda paths: claimed(paths, wait_s=0)\n"
        "sys.exit(process.run(paths_in(Path(sys.argv[1]))))"
    )
    second = subprocess.run(
        [sys.executable, "-c", code, str(served.data.parent)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (second.returncode, second.stderr) == (process.EXIT_OTHER, b"")
    assert connection.complete(request("x")).model == "base"


@pytest.mark.slow
def test_a_socket_that_is_removed_is_made_again(start: Start, paths: Paths) -> None:
    """Cleaners of temporary folders do that; whoever is connected stays so."""
    connection = start(*odd(server__LOOK_S=0.05))
    pid = pid_of(paths)
    [place] = [path for path in endpoint.candidates(paths) if path.exists()]
    place.unlink()
    assert eventually(place.exists)
    endpoint.note_of(paths).unlink()
    assert eventually(lambda: endpoint.read(paths) is not None)

    with raw(paths) as one:
        assert isinstance(next(one.hears()), Welcome)
    assert (pid_of(paths), connection.complete(request("x")).model) == (pid, "base")


@pytest.mark.slow
def test_who_comes_when_the_socket_is_gone_meets_the_same_daemon(
    start: Start, paths: Paths
) -> None:
    """As soon as it has looked; nobody starts a second one, or gives up."""
    start(*odd(server__LOOK_S=0.5))
    pid = pid_of(paths)
    [place] = [path for path in endpoint.candidates(paths) if path.exists()]
    place.unlink()
    with connect(paths) as late:
        assert late.status().pid == pid


@pytest.mark.slow
def test_it_ends_when_its_folder_is_gone(start: Start, paths: Paths) -> None:
    """Another daemon would not see its lock."""
    start(*odd(server__LOOK_S=0.05))
    pid = pid_of(paths)
    shutil.rmtree(paths.data)

    assert eventually(lambda: not lives(pid))
    assert not paths.data.exists()


def test_what_is_saved_while_it_starts_is_seen(paths: Paths) -> None:
    """Settings and model are read some time before anybody can ask for anything."""
    found = loaded.load(paths)
    configure(paths, "sede = 3\n")

    def ask() -> None:
        with connect(paths) as connection:
            eventually(lambda: connection.status().state == "degraded", within_s=5)
            states.append(connection.status().state)
            connection.ask("stop")

    states: list[str] = []
    asking = threading.Thread(target=ask)
    asyncio.run(server.serve(paths, found, confinement="none", ready=asking.start))
    asking.join()
    assert states == ["degraded"]


def test_weights_are_let_go_where_a_graph_serves(paths: Paths) -> None:
    """They are 15 MB, and nobody asks for them any more; the model is told of as before."""
    shipped = Path(base.__file__).parent
    found = loaded.load(replace(paths, base=shipped))
    if found.bundle is None or needs_weights(found.bundle.graphs):
        pytest.skip("needs a graph, and LiteRT to run it")
    weights = [weakref.ref(array) for array in found.bundle.weights.values()]
    n_held: list[int] = []

    def ask() -> None:
        with connect(paths) as connection:
            completed = connection.complete(request("The river r"))
            model = connection.status().model
            n_held.append(sum(array() is not None for array in weights))
            assert model
            assert completed.model == model.id == "base"
            assert model.scores
            connection.ask("stop")

    asking = threading.Thread(target=ask)
    serving = server.serve(paths, found, confinement="none", ready=asking.start)
    del found
    asyncio.run(serving)
    asking.join()
    assert n_held == [0]


@pytest.mark.slow
def test_an_editor_that_is_killed_takes_its_documents_along(start: Start, paths: Paths) -> None:
    """And where the daemon is killed with it, the next who comes finds everything in order."""
    connection = start()
    with language_server(paths) as editor:
        assert eventually(lambda: connection.status().documents == 1)
        editor.kill()
        assert eventually(lambda: connection.status().documents == 0)
    assert eventually(lambda: connection.status().clients == 1)
    assert connection.complete(request("x")).model == "base"
    with language_server(paths) as editor:
        assert eventually(lambda: connection.status().documents == 1)
        pid = pid_of(paths)
        os.kill(pid, signal.SIGKILL)
        editor.kill()
    with language_server(paths):
        assert eventually(lambda: pid_of(paths) != pid and lives(pid_of(paths)))
        assert eventually(lambda: start().status().documents == 1)


@contextmanager
def language_server(paths: Paths) -> Iterator["subprocess.Popen[bytes]"]:
    """One in which a document is open."""
    home = str(paths.config.parent)
    editor = subprocess.Popen(
        [sys.executable, "-m", "afterword_lsp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"AFTERWORD_HOME": home, "AFTERWORD_BASE": str(paths.base)},
    )
    assert editor.stdin
    assert editor.stdout
    document = {"uri": "file:///a.md", "languageId": "markdown", "version": 1, "text": "x"}
    initialize = {"processId": None, "rootUri": None, "capabilities": {}}
    try:
        for message in (
            {"id": 1, "method": "initialize", "params": initialize},
            {"method": "initialized", "params": {}},
            {"method": "textDocument/didOpen", "params": {"textDocument": document}},
        ):
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            editor.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            editor.stdin.flush()
        yield editor
    finally:
        editor.kill()
        editor.communicate()


def test_a_daemon_that_fails_says_where_and_nothing_else(start: Start, paths: Paths) -> None:
    """The message of an error may quote anything; it is in no file."""
    with pytest.raises(StartError, match=r"TypeError at .*; see: afterword logs"):
        start(*odd(server__Server=CANARY))
    assert "CRITICAL the daemon failed: TypeError at" in (paths.logs / "daemon.log").read_text()
    assert (paths.logs / "daemon.err").read_bytes() == b""


@is_linux
def test_a_daemon_that_is_not_confined_says_so_in_its_log(start: Start, paths: Paths) -> None:
    """Where people look, and not where crashes are."""
    start(*odd(confinement___PR_SET_NO_NEW_PRIVS=-1))
    assert "the daemon is not confined" in (paths.logs / "daemon.log").read_text()


def configure(paths: Paths, text: str) -> None:
    paths.config.mkdir(parents=True, exist_ok=True)
    config.path_of(paths).write_text(text)


@pytest.mark.slow
def test_settings_hold_as_soon_as_they_are_saved(start: Start, paths: Paths) -> None:
    """A mistake in them is said, and what is no mistake holds all the same."""
    connection = start(*odd(server__REFRESH_S=0.0))

    def says(state: str, detail: str) -> bool:
        connection.complete(request("x"))
        status = connection.ask("status")
        return bool(status["state"] == state and re.search(detail, status["detail"]))

    configure(paths, "seed = 3\nsead = 4\n")
    assert eventually(lambda: says("degraded", "line 2: sead is no setting"))
    configure(paths, "seed = 3\n")
    assert eventually(lambda: says("ready", "^$"))


@pytest.mark.slow
def test_what_is_taken_up_again_and_again_costs_nothing_more(paths: Paths) -> None:
    """Settings leave the model where it is; a model that gives way is let go. Twelve times each."""
    shipped = Path(base.__file__).parent
    if not base.exists(shipped):
        pytest.skip("needs a model of the usual size")
    shelf = Shelf(paths.models, shipped)
    for id in ("you-1", "you-2"):
        shelf.publish(replace(base.load(shipped), id=id))
    paths.base.unlink()
    paths.base.symlink_to(shipped)
    with connect(paths, *odd(server__REFRESH_S=0.0)) as connection:
        connection.complete(request("The river"))
        before = connection.status().resident
        for seed in range(12):
            configure(paths, f"{'x' * seed} = 0\n" if seed % 2 else "")
            wanted = "degraded" if seed % 2 else "ready"
            assert eventually(lambda: connection.status().state == wanted)  # noqa: B023
        assert connection.status().resident - before < 4 << 20
        for n in range(12):
            id = f"you-{1 + n % 2}"
            shelf.use(id)
            assert eventually(lambda: connection.complete(request("x")).model == id)  # noqa: B023
        # One more than there was, while it changes; and what was let go is let go some time.
        assert eventually(lambda: connection.status().resident - before < 25 << 20)


def test_without_a_model_it_says_what_to_do(empty_base: Paths) -> None:
    """It answers nothing, and yet it answers."""
    with client.Connection.open(empty_base, spawn=True, client="afterword") as connection:
        assert connection.complete(request("x")).items == ()
        status = connection.ask("status")

    assert status["state"] == "no-model"
    assert "trainer learn" in status["detail"]


@is_linux
@pytest.mark.slow
def test_who_has_nothing_to_do_does_nothing(start: Start, paths: Paths) -> None:
    """Not one wake-up in two seconds, with a client connected."""
    connection = start()
    pid = pid_of(paths)
    connection.complete(request("The river r", document="one"))

    def n_switches() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return sum(map(int, re.findall(r"voluntary_ctxt_switches:\s+(\d+)", status)))

    assert eventually(lambda: n_switches() == (time.sleep(0.2), n_switches())[1])  # type: ignore[func-returns-value]
    before = n_switches()
    time.sleep(2)
    assert n_switches() == before


# -- privacy -----------------------------------------------------------------------------------


@is_linux
def test_the_process_has_given_up_what_it_does_not_need(
    served: Paths, connection: Connection
) -> None:
    """The network, new rights, and cores, as the kernel sees it."""
    status = Path(f"/proc/{pid_of(served)}/status").read_text()
    limits = Path(f"/proc/{pid_of(served)}/limits").read_text()

    assert re.search(r"^Seccomp:\t2$", status, re.M)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    assert re.search(r"^Umask:\t0077$", status, re.M)
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_socket_is_even_asked_for(start: Start, paths: Paths) -> None:
    """From start to end every socket is local, and none connects to anything."""
    trace = paths.data.parent / "trace"
    strace = ("strace", "-D", "-f", "-qq", "-e", "trace=%network", "-o", str(trace))
    connection = start(*strace, *odd())
    pid = pid_of(paths)
    connection.complete(request("The river r", document="one"))
    connection.send(Remember(document="one", text="The river rose."))
    connection.ask("status")
    client.stop(paths, client="afterword")
    assert eventually(lambda: not lives(pid))

    calls = trace.read_text()
    assert "socketpair(AF_UNIX" in calls
    asked = re.findall(r"socket(?:pair)?\((\w+),.*= (\S+(?: \w+)?)", calls)
    # The probe at the start asks for two that it must not get.
    assert [one for one in asked if one[0] != "AF_UNIX"] == [
        ("AF_INET", "-1 EACCES"),
        ("AF_INET6", "-1 EACCES"),
    ]
    assert len(asked) == calls.count(" socket(") + calls.count(" socketpair(")
    assert "connect(" not in calls


CANARY = "Zinnoberkäfer-4711"


def test_the_text_of_the_user_is_nowhere_but_in_memory(start: Start, paths: Paths) -> None:
    """Not in logs, not in state, in no encoding, whatever was sent and whatever went wrong."""
    connection = start(*odd())
    said: dict[str, Any] = {
        name: f"{CANARY} {name}" for name in ("document", "path", "language", "after")
    }
    connection.complete(request(f"{CANARY} before", **said))
    with pytest.raises(RefusedError):
        connection.complete(request(f"{CANARY}{FAIL}", **said))
    connection.send(Remember(document="d", path=CANARY, language=CANARY, text=CANARY * 100))
    connection.send(Outcome(suggestion=CANARY, event="accepted"))
    connection.ask("why", document=CANARY)
    for name in (f"x{CANARY}", CANARY):
        with Raw(paths, greets=False).socket as broken:
            hello = {"type": "hello", "protocol": 1, "build": CANARY, "client": name}
            body = json.dumps(hello, ensure_ascii=False).encode()
            broken.sendall(framed(body))
            broken.recv(1 << 16)
            broken.sendall(framed(f'{{"type":"{CANARY}"}}'.encode()))
            while broken.recv(1 << 16):
                pass
    connection.complete(request("x"))
    connection.close()
    client.stop(paths, client="afterword")

    files = [p for p in paths.data.parent.rglob("*") if p.is_file() and not p.is_symlink()]
    assert {path.name for path in files} >= {"daemon.log", "daemon.err", "daemon.lock"}
    for path in files:
        content = path.read_bytes()
        for trace in traces(CANARY):
            assert trace not in content, path
    assert "dropped: a frame of" in (paths.logs / "daemon.log").read_text()


def traces(text: str) -> list[bytes]:
    """What `text` may look like in a file."""
    return [
        *(text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "latin-1")),
        json.dumps(text).strip('"').encode(),
        repr(text.encode())[2:-1].encode(),
        base64.b64encode(text.encode())[:-4],
    ]


def test_a_log_that_has_grown_is_moved_aside_once(tmp_path: Path) -> None:
    """It takes twice its limit at most, and goes on where it was."""
    for n in range(3):
        log = process.LogFile(tmp_path / "logs" / "daemon.log", at_most=1000)
        for line in range(40):
            log.emit(logging.makeLogRecord({"msg": f"run {n} line {line}", "levelname": "INFO"}))
        log.close()

    sizes = {path.name: path.stat().st_size for path in (tmp_path / "logs").iterdir()}
    assert set(sizes) == {"daemon.log", "daemon.log.1"}
    assert max(sizes.values()) < 1100
    assert "run 2 line 39" in (tmp_path / "logs" / "daemon.log").read_text()


def test_a_line_that_repeats_itself_is_not_written_for_ever(tmp_path: Path) -> None:
    """A hundred times a minute say as much as a million."""
    log = process.LogFile(tmp_path / "daemon.log", at_most=1 << 20)
    for n in range(1000):
        log.emit(logging.makeLogRecord({"msg": "client %d came", "args": (n,), "created": 7.0}))
    log.emit(logging.makeLogRecord({"msg": "client %d went", "args": (1,), "created": 8.0}))
    log.emit(logging.makeLogRecord({"msg": "client %d came", "args": (1000,), "created": 60.0}))
    log.close()

    lines = (tmp_path / "daemon.log").read_text().splitlines()
    assert len(lines) == process.MAX_EQUAL + 2
    assert lines[-1].endswith("client 1000 came")
