"""Frames from bytes, whatever the bytes are."""

import random
from itertools import pairwise

import pytest
from afterword_lsp.stdio import MOST_BYTES_IN_FRAME, MOST_BYTES_IN_HEADER, Frames
from hypothesis import given
from hypothesis import strategies as st

BODIES = [b"{}", b'{"text": "\xc3\xa9"}', b"x" * 10_000]


def framed(body: bytes, *, header: bytes = b"Content-Length: %d\r\n\r\n") -> bytes:
    return header % len(body) + body


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_bodies_come_out_whatever_the_portions(bodies: list[bytes], data: st.DataObject) -> None:
    """Cut anywhere, even within a header."""
    stream = b"".join(map(framed, bodies))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    marks = [0, *sorted(cuts), len(stream)]
    frames = Frames()
    found = [body for start, end in pairwise(marks) for body in frames.feed(stream[start:end])]
    assert found == bodies


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: %d\r\n\r\n",
        b"Content-Length:%d\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n",
        b"Content-Type: x\r\nContent-Length: %d\r\n\r\n",
    ],
)
def test_headers_as_editors_write_them(header: bytes) -> None:
    """In any order and case."""
    assert list(Frames().feed(framed(b"{}", header=header) * 2)) == [b"{}", b"{}"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff",
        b"hello\r\n\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"Content-Length: %d\r\n\r\n" % (MOST_BYTES_IN_FRAME + 1),
        b"\r\n\r\n" * 50,
        b"x" * (3 * MOST_BYTES_IN_HEADER),
        random.Random(7).randbytes(100_000),
    ],
)
def test_after_garbage_the_next_frame_is_found(garbage: bytes) -> None:
    """And no garbage is held on to."""
    frames = Frames()
    assert list(frames.feed(garbage)) == []
    assert list(frames.feed(framed(b"{}"))) == [b"{}"]


def test_a_header_that_begins_behind_garbage_is_kept() -> None:
    """Only what can no longer be part of one is dropped."""
    frames, frame = Frames(), framed(b"{}")
    assert list(frames.feed(b"x" * (2 * MOST_BYTES_IN_HEADER) + frame[:10])) == []
    assert list(frames.feed(frame[10:])) == [b"{}"]
