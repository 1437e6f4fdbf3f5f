"""Messages and frames: what is sent arrives, however it is cut, and nothing else does."""

import json
from typing import Any

import pytest
from afterword_daemon import protocol
from afterword_daemon.protocol import (
    Ask,
    Cancel,
    Changed,
    Close,
    Complete,
    Completed,
    Failed,
    Frames,
    Hello,
    Item,
    Options,
    Outcome,
    ProtocolError,
    Remember,
    ToDaemon,
    Told,
    Welcome,
    frame,
)
from hypothesis import given, settings
from hypothesis import strategies as some

texts = some.text(some.characters(exclude_categories=["Cs"]))
ids = some.integers(0, 2**53)
to_daemon = some.one_of(
    some.builds(Hello, protocol=ids, build=texts, client=texts),
    some.builds(
        Complete,
        id=ids,
        document=texts,
        path=texts,
        before=texts,
        starts=some.booleans(),
        after=texts,
        options=some.builds(Options, temperature=some.none() | some.floats(0, 2)),
    ),
    some.builds(Cancel, id=ids),
    some.builds(Remember, document=texts, text=texts),
    some.builds(Close, document=texts),
    some.builds(Outcome, suggestion=texts, event=some.sampled_from(["shown", "partly"])),
    some.builds(Ask, id=ids, what=some.sampled_from(["status", "stop"]), document=texts),
)
to_client = some.one_of(
    some.builds(Welcome, protocol=ids, build=texts, pid=ids),
    some.builds(
        Completed,
        id=ids,
        items=some.lists(some.builds(Item, id=texts, text=texts)).map(tuple),
        reason=texts,
    ),
    some.builds(Told, id=ids, facts=some.dictionaries(texts, texts)),
    some.builds(Failed, id=ids, code=some.just("busy"), message=texts),
    some.builds(Changed, state=some.just("ready"), progress=some.none() | some.floats(0, 1)),
)


@settings(max_examples=30)
@given(some.lists(to_daemon, max_size=5), some.data())
def test_messages_arrive_as_they_were_sent_however_they_are_cut(
    messages: list[Any], data: some.DataObject
) -> None:
    """A socket keeps the order of bytes and nothing else."""
    sent = b"".join(map(frame, messages))
    frames = Frames[ToDaemon](protocol.ToDaemon)
    arrived = []
    while sent:
        n = data.draw(some.integers(1, len(sent)))
        arrived += frames.feed(sent[:n])
        sent = sent[n:]

    assert arrived == messages
    assert not frames.is_partial


@given(to_client)
def test_answers_arrive_as_they_were_sent(message: Any) -> None:
    """The same in the other direction."""
    assert [*Frames(protocol.ToClient).feed(frame(message))] == [message]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b"null",
        b'{"type":"complete"}',
        b'{"type":"complete","id":"1","document":""}',
        b'{"type":"complete","id":1e300,"document":""}',
        b'{"type":"complete","id":NaN,"document":""}',
        b'{"type":"welcome","protocol":1,"build":"","pid":1}',
        b'{"type":"ask","id":1,"what":"__class__"}',
        b'{"type":"cancel","id":1}{"type":"cancel","id":2}',
        b'{"type":"close","document":"\\ud800"}x',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"type":"cancel","id":1,"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    ],
    ids=range(15),
)
def test_what_is_no_message_ends_the_conversation(body: bytes) -> None:
    """Whether it is damaged, deep, or another direction's, it is a ProtocolError and no more."""
    frames = Frames[ToDaemon](protocol.ToDaemon)

    with pytest.raises(ProtocolError, match=r"no message"):
        list(frames.feed(len(body).to_bytes(4, "big") + body))


@given(some.binary())
def test_any_bytes_are_messages_or_an_error(data: bytes) -> None:
    """Nothing else is raised, and no more is kept than came."""
    frames = Frames[ToDaemon](protocol.ToDaemon)
    try:
        list(frames.feed(data))
    except ProtocolError:
        return
    assert frames.is_partial == bool(data)


def test_a_frame_that_says_it_is_too_long_is_not_waited_for() -> None:
    """The first four bytes are enough to know."""
    with pytest.raises(ProtocolError, match=r"is over 8388608"):
        list(Frames(protocol.ToDaemon).feed(b"\xff\xff\xff\xff"))


def test_what_is_unknown_is_left_alone() -> None:
    """A field of a later version, and a key twice, are no reason to stop."""
    body = json.dumps({"type": "cancel", "id": 1, "why": {"a": [1]}}).encode()
    body = body[:-1] + b', "id": 2}'

    [message] = Frames(protocol.ToDaemon).feed(len(body).to_bytes(4, "big") + body)

    assert message == Cancel(id=2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("\ud800", "surrogates not allowed"), ("x" * (protocol.MAX_FRAME + 1), "is over 8388608")],
    ids=["half", "long"],
)
def test_what_cannot_be_sent_is_a_value_error(text: str, problem: str) -> None:
    """A half surrogate is no text, and no document is as long as a frame."""
    with pytest.raises(ValueError, match=problem):
        frame(Close(document=text))
