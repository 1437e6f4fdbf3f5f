"""Clients that lie, flood, dawdle or do not read, and everybody else beside them.

The first steps of it are in test_server.py of the daemon and of the language server; here it goes
on for longer, through all of it, and what is left behind is looked at.
"""

import json
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from afterword_daemon.endpoint import build
from afterword_daemon.protocol import (
    MAX_FRAME,
    PROTOCOL_VERSION,
    Ask,
    Cancel,
    Close,
    Complete,
    Completed,
    Failed,
    Hello,
    Outcome,
    Remember,
)
from afterword_lsp.stdio import MOST_BYTES_UNREAD
from afterword_trainer.paths import Paths
from daemons import WAIT, Raw, connect, eventually, odd, pid_of, raw, request
from desk import AUTOMATIC, SENTENCE, TEXT, Seat, errors_in, n_open, resident, rounds

MB = 1 << 20

pytestmark = pytest.mark.slow


# -- frames ------------------------------------------------------------------------------------


def test_frame_fuzz(paths: Paths) -> None:
    """Frames that lie about their length, JSON that is none, deep, doubled or of other types.

    Somebody who makes sense is answered all the while; memory, descriptors and log are as before.
    AFTERWORD_ROUNDS raises the number of frames.
    """
    n_frames = rounds(4000)
    seed = 2026
    draw = random.Random(seed)
    slow: list[Raw] = []  # half a frame each, and then silence
    n_said, before, began = 0, 0, time.monotonic()
    with connect(paths, *odd(connection__READ_S=0.25)) as connection:
        pid = pid_of(paths)
        while n_said < n_frames:
            n_said += one_client(paths, draw, slow)
            if not before and n_said > n_frames // 4:
                before, n_descriptors = connection.status().resident, n_open(pid)
            if draw.random() < 0.02:
                assert connection.complete(request("x")).model == "base", f"seed {seed}"
        for one in slow:
            assert one.was_dropped()
            one.socket.close()
        assert eventually(lambda: connection.status().clients == 1)
        assert eventually(lambda: n_open(pid) <= n_descriptors)
        after = connection.status().resident

    print(f"{n_said} frames in {time.monotonic() - began:.0f} s, {(after - before) / MB:+.1f} MB")
    assert after - before < 5 * MB
    assert pid_of(paths) == pid
    assert not errors_in(paths.logs / "daemon.log")
    assert not (paths.logs / "daemon.err").read_bytes()


def one_client(paths: Paths, draw: random.Random, slow: list[Raw]) -> int:
    """Comes, says some frames of which any may be damaged, and goes; how many it said."""
    said = [damaged(draw) if draw.random() < 0.4 else sound(draw) for _ in range(draw.randrange(9))]
    one = Raw(paths, greets=draw.random() < 0.9)
    one.socket.settimeout(5)
    with suppress(BrokenPipeError, ConnectionResetError):  # it is hung up on as it speaks
        one.socket.sendall(b"".join(said))
        if len(slow) < 8 and draw.random() < 0.05:
            one.socket.sendall(sound(draw)[:-1])
            slow.append(one)
            return len(said)
        one.socket.shutdown(socket.SHUT_WR)
    assert one.was_dropped()  # all that was said has been heard, or ended the conversation
    one.socket.close()
    return len(said)


FIELDS: dict[type, Callable[[random.Random], dict[str, Any]]] = {
    Complete: lambda draw: {"document": "d", "before": "The river r", "id": draw.randrange(99)},
    Remember: lambda draw: {"document": "d", "text": SENTENCE * draw.randrange(9)},
    Outcome: lambda draw: {"suggestion": "7", "event": "shown"},
    Cancel: lambda draw: {"id": draw.randrange(99)},
    Close: lambda draw: {"document": "d"},
    Ask: lambda draw: {"id": draw.randrange(99), "what": draw.choice(["why", "stats", "status"])},
    Hello: lambda draw: {"protocol": PROTOCOL_VERSION, "build": build(), "client": "lsp"},
}
NONSENSE = (
    *("NaN", "-Infinity", "1e999", "-1", "9" * 400, "0.5", "true", "null", '""', "[]", "{}"),
    *('"\\ud800"', '"\\u0000"', '"\ud83e\udd86"', "'x'", "", "\x00", "[" * 10_000, '{"":' * 10_000),
    *("[" * 10_000 + "]" * 10_000, '"' + "x" * 5000 + '"', '"stop', "1,"),
)


def message(draw: random.Random) -> dict[str, Any]:
    kind = draw.choice(list(FIELDS)[: -1 if draw.random() < 0.98 else None])
    fields: dict[str, Any] = msgspec.to_builtins(kind(**FIELDS[kind](draw)))
    return fields


def sound(draw: random.Random) -> bytes:
    return framed(json.dumps(message(draw)).encode())


def damaged(draw: random.Random) -> bytes:
    """A frame in which one thing is not as it should be."""
    fields = message(draw)
    name = draw.choice(list(fields))
    match draw.randrange(8):
        case 0:  # a value of another kind, or of none
            text = json.dumps({**fields, name: "@@"}).replace('"@@"', draw.choice(NONSENSE))
            return framed(text.encode("utf-8", "surrogatepass"))
        case 1:  # a name twice, once with a value of another kind
            again = f'"{name}":{draw.choice(NONSENSE)}'
            return framed(f"{json.dumps(fields)[:-1]},{again}}}".encode("utf-8", "surrogatepass"))
        case 2:  # a name too few, or one too many
            del fields[name]
            fields[draw.choice(["type", "id", "__class__", "x" * 9])] = draw.choice([1, "x", None])
            return framed(json.dumps(fields).encode())
        case 3:  # a length that is a lie
            body = json.dumps(fields).encode()
            lies = (len(body) - 1, len(body) + 1, 0, 1, MAX_FRAME, MAX_FRAME + 1, 2**31, 2**32 - 1)
            return draw.choice(lies).to_bytes(4, "big") + body
        case 4:  # half a frame, and then another
            frame = framed(json.dumps(fields).encode())
            return frame[: draw.randrange(len(frame))]
        case 5:  # bytes that were turned over on the way
            frame = bytearray(framed(json.dumps(fields).encode()))
            for _ in range(draw.randrange(1, 4)):
                frame[draw.randrange(len(frame))] = draw.randrange(256)
            return bytes(frame)
        case 6:  # an encoding that is none of ours
            codec = draw.choice(["utf-16", "utf-32-be", "utf-8-sig"])
            return framed(json.dumps(fields).encode(codec))
        case _:  # noise
            return draw.randbytes(draw.randrange(64))


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


# -- cancelling --------------------------------------------------------------------------------


def test_cancel_storm_in_the_daemon(paths: Paths) -> None:
    """A thousand requests, 95 in 100 cancelled, the rest superseded: one answer each.

    Then there is room for as many as at the beginning, under the same numbers.
    """
    with connect(paths, *odd()) as connection, raw(paths) as one:
        for _ in range(rounds(1)):
            storm(one)
        for id in range(32):  # none is said to be one too many, or there twice
            one.say(Complete(id=id, document=f"{id}", before="x"))
        heard = one.hears()
        completed = (message for message in heard if isinstance(message, Completed | Failed))
        assert {id: isinstance(next(completed), Completed) for id in range(32)} == dict.fromkeys(
            range(32), True
        )
        assert connection.complete(request("x")).model == "base"
    assert not errors_in(paths.logs / "daemon.log")


def storm(one: Raw) -> None:
    """In waves of as many as are allowed at a time."""
    draw = random.Random(3)
    for begin in range(0, 1000, 32):
        ids = range(begin, begin + 32)
        for id in ids:
            # Answered when nobody wants it any more, and not before.
            one.say(Complete(id=id, document=f"{id % 16}", before=WAIT))
            if draw.random() < 0.95:
                one.say(Cancel(id=id))
        for id in ids:
            one.say(Cancel(id=id))  # too late for most
        one.say(Ask(id=9999, what="why"))
        answers: list[int] = []
        for message in one.hears():
            if isinstance(message, Failed):
                answers.append(message.id)
                assert message.code in ("cancelled", "superseded")
            if len(answers) == 32:
                break
        assert sorted(answers) == list(ids)


def test_cancel_storm_through_everything(seat: Seat, paths: Paths) -> None:
    """A thousand keys within two seconds: each request is answered once, and nothing is kept.

    AFTERWORD_ROUNDS raises the number of storms, which leave no more behind than one.
    """
    desk = seat()
    desk.open(TEXT)
    desk.until_known()
    daemon, server = pid_of(paths), desk.process.pid
    n_before = [n_open(pid) for pid in (daemon, server)]
    sizes: list[list[int]] = []
    for number in range(n := rounds(2)):
        for key in range(1000):
            desk.type(SENTENCE[key % len(SENTENCE)])
            id = desk.ask(kind=AUTOMATIC, id=f"{number} {key}")
            if key % 20 and key < 999:
                desk.cancel(id)
        names = {f"{number} {key}" for key in range(1000)}
        desk.until(lambda names=names: names <= desk.answers.keys())
        assert isinstance(desk.answers[f"{number} 999"]["result"]["items"], list)
        sizes.append([resident(pid) for pid in (daemon, server)])
        desk.open(TEXT)
    assert desk.until_known()
    assert desk.n_twice == 0
    grown = [(b - a) / MB for a, b in zip(sizes[0], sizes[-1], strict=True)]
    print(f"{n} storms: daemon and server grew by {grown} MB")
    assert [n_open(pid) for pid in (daemon, server)] == n_before
    assert max(grown) < 8
    assert desk.leave() == 0
    assert not errors_in(paths.logs / "daemon.log")


# -- not reading -------------------------------------------------------------------------------


def test_slow_reader(seat: Seat, paths: Paths) -> None:
    """An editor that types and asks and reads nothing costs its own server, and nobody else."""
    deaf, other = seat(reads=False), seat()
    other.open(TEXT)
    other.until_known()
    deaf.open(TEXT, uri="file:///deaf.md")
    n_bytes = 0
    with suppress(BrokenPipeError):
        while n_bytes < 8 * MOST_BYTES_UNREAD:
            for _ in range(100):
                deaf.type("river ")
                deaf.ask(kind=AUTOMATIC)
                deaf.say("no/such/" + "x" * 20_000, {}, -1)  # quoted in the answer
                n_bytes += 20_000
            assert resident(deaf.process.pid) < 100e6
            assert other.suggestions()
    assert n_bytes > MOST_BYTES_UNREAD
    assert deaf.process.wait(20) == 0
    assert other.suggestions()
    with connect(paths) as connection:
        assert eventually(lambda: connection.status().documents == 1)
