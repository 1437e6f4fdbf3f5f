"""Messages and frames: what is sent arrives, however it is cut, and nothing else does."""

import json
import os
from typing import Any, get_args

import msgspec
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
    Model,
    Options,
    Outcome,
    ProtocolError,
    Remember,
    Status,
    ToDaemon,
    Told,
    Welcome,
    frame,
)
from hypothesis import given, settings
from hypothesis import strategies as some

texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=protocol.MAX_INDENTATION)
ids = some.integers(0, 2**53)
to_daemon = some.one_of(
    some.builds(Hello, protocol=ids, build=texts, client=texts),
    some.builds(
        Complete,
        id=ids,
        document=texts,
        path=texts,
        before=texts,
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
    with pytest.raises(ProtocolError, match=r"is over 2097152"):
        list(Frames(protocol.ToDaemon).feed(b"\xff\xff\xff\xff"))


def test_what_is_unknown_is_left_alone() -> None:
    """A field of a later version, and a key twice, are no reason to stop."""
    body = json.dumps({"type": "cancel", "id": 1, "why": {"a": [1]}}).encode()
    body = body[:-1] + b', "id": 2}'

    [message] = Frames(protocol.ToDaemon).feed(len(body).to_bytes(4, "big") + body)

    assert message == Cancel(id=2)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Close(document="\ud800"), "surrogates not allowed"),
        (Remember(document="", text="x" * (protocol.MAX_FRAME + 1)), "is over 2097152"),
    ],
    ids=["half", "long"],
)
def test_what_cannot_be_sent_is_a_value_error(message: ToDaemon, problem: str) -> None:
    """A half surrogate is no text, and no document is as long as a frame."""
    with pytest.raises(ValueError, match=problem):
        frame(message)


@pytest.mark.parametrize(
    ("kind", "fields", "name", "most"),
    [
        (Hello, {"protocol": 1, "build": ""}, "client", protocol.MAX_NAME),
        (Hello, {"protocol": 1, "client": ""}, "build", protocol.MAX_NAME),
        (Complete, {"id": 1}, "document", protocol.MAX_NAME),
        (Complete, {"id": 1, "document": ""}, "path", protocol.MAX_PATH),
        (Complete, {"id": 1, "document": ""}, "language", protocol.MAX_LANGUAGE),
        (Complete, {"id": 1, "document": ""}, "before", protocol.MAX_BEFORE),
        (Complete, {"id": 1, "document": ""}, "after", protocol.MAX_AFTER),
        (Complete, {"id": 1, "document": ""}, "indentation", protocol.MAX_INDENTATION),
        (Remember, {}, "document", protocol.MAX_NAME),
        (Remember, {"document": ""}, "path", protocol.MAX_PATH),
        (Remember, {"document": ""}, "language", protocol.MAX_LANGUAGE),
        (Remember, {"document": ""}, "text", protocol.MAX_TEXT),
        (Close, {}, "document", protocol.MAX_NAME),
        (Outcome, {"event": "shown"}, "suggestion", protocol.MAX_NAME),
        (Ask, {"id": 1, "what": "why"}, "document", protocol.MAX_NAME),
    ],
)
def test_every_text_has_a_bound_at_both_ends(
    kind: Any, fields: dict[str, Any], name: str, most: int
) -> None:
    """Of characters, however many bytes each takes; one more is neither sent nor taken."""
    sound = kind(**fields, **{name: "\0" * most})
    assert [*Frames[ToDaemon](ToDaemon).feed(frame(sound))] == [sound]

    long = kind(**fields, **{name: "\0" * (most + 1)})
    with pytest.raises(ValueError, match=f"out of bounds.*{name}"):
        frame(long)
    body = msgspec.json.encode(long)
    with pytest.raises(ProtocolError, match=r"no message"):
        list(Frames[ToDaemon](ToDaemon).feed(len(body).to_bytes(4, "big") + body))


def test_no_text_is_without_a_bound() -> None:
    """A field that is added has to have one, or a message could be as long as a frame."""
    for kind in get_args(ToDaemon):
        for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
            if isinstance(field.type, msgspec.inspect.StrType):
                assert field.type.max_length, f"{kind.__name__}.{field.name}"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 2.1},
        {"temperature": -0.1},
        {"max_characters": 1},
        {"max_characters": 1001},
        {"min_probability": 1.1},
        {"alternatives": 0},
        {"alternatives": 11},
        {"seed": -1},
        {"seed": 2**53 + 1},
    ],
    ids=str,
)
def test_every_option_has_a_range(options: dict[str, Any]) -> None:
    """So that nobody behind the protocol has to look again."""
    with pytest.raises(ValueError, match=r"out of bounds"):
        frame(Complete(id=1, document="", options=Options(**options)))


def test_facts_of_another_build_can_be_read() -> None:
    """What is not told has a value that claims nothing; what is not known is left alone."""
    told = {"state": "ready", "model": {"id": "base", "colour": "red"}, "moon": {"phase": 3}}

    status = msgspec.convert(told, Status)

    assert status == Status(state="ready", model=Model(id="base"))


# -- names of files ----------------------------------------------------------------------------

ODD = [
    b"/n/\xff.md",
    b"/n/%FF.md",
    b"/n/\xff%FF.md",
    b"/n/line\nend ",
    "/n/\u202eright to left.md".encode(),
    "/n/\U0001f9d1\u200d\U0001f373 100 %.md".encode(),
    b"/\xed\xa0\x80",  # half of a character, as some programs write it
    b"/" + b"\xff/" * 2047,
]


@pytest.mark.parametrize("path", ODD)
def test_any_file_has_a_name(path: bytes) -> None:
    """See below; these are those that somebody will have."""
    one = os.fsdecode(path)
    ask = Ask(id=1, what="forget", document=protocol.name_of(one))
    [heard] = Frames[protocol.ToDaemon](protocol.ToDaemon).feed(frame(ask))
    assert isinstance(heard, Ask)
    assert os.fsencode(protocol.path_of(heard.document)) == path


@given(path=some.binary(max_size=40), other=some.binary(max_size=40))
def test_a_name_leads_back_to_its_file(path: bytes, other: bytes) -> None:
    """Whatever bytes it has: the name is Unicode, and that of no other file."""
    paths = [os.fsdecode(b"/" + one.replace(b"\0", b"")) for one in (path, other)]
    names = [protocol.name_of(one) for one in paths]
    assert [protocol.path_of(name.encode().decode()) for name in names] == paths
    assert (names[0] == names[1]) == (paths[0] == paths[1])


@pytest.mark.parametrize("name", ["untitled:1", "", "file:", "relative", "vscode:/n/a"])
def test_a_document_without_a_file_has_no_path(name: str) -> None:
    """It is known by its URI."""
    assert protocol.path_of(name) == ""
