"""What the daemon is told is what the editor has, whatever is edited in whichever encoding.

`test_documents.py` compares the mirror by itself, over many more edits; here they come to a real
server as an editor sends them, and what it says of the text is heard at the daemon's place.
"""

import random
import re

import pytest
from afterword_daemon.protocol import Complete, Remember
from afterword_trainer.paths import Paths
from desk import Desk, rounds
from listening import Listening, until

PIECES = (
    *("a", "word ", "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85"),
    *("\u2028", "\u2029", "é", "ß", "漢字", "😀", "👩\u200d🚀", "e\u0301", "\ufeff", "\u202e"),
)
HALVES = ("\ud83e", "\udd86", "\ud83e")  # which only an editor that counts in UTF-16 sends

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_sync_diff(paths: Paths, encoding: str) -> None:
    """After every message; and the text before and behind a cursor is the editor's too.

    AFTERWORD_ROUNDS raises the number of messages.
    """
    seed = 2026 + len(encoding)
    draw = random.Random(seed)
    daemon = Listening()
    await daemon.open(paths)
    desk = Desk(paths, encoding=encoding)
    try:
        desk.open("")
        await until(lambda: daemon.all(Remember))
        for number in range(rounds(100)):
            where = f"{encoding}, seed {seed}, message {number}"
            daemon.heard.clear()
            change_some(desk, draw)
            desk.save()
            await until(lambda: daemon.all(Remember))
            assert daemon.all(Remember)[0].text == as_told(desk.text), where

            desk.cursor = somewhere(desk.text, draw)
            id = desk.ask()
            await until(lambda id=id: id in desk.answers)  # type: ignore[misc]
            asked = next(request for request in daemon.all(Complete) if request.invoked)
            before, after = desk.text[: desk.cursor], desk.text[desk.cursor :]
            assert as_told(before).endswith(asked.before), where
            assert asked.after == as_told(re.split("[\r\n]", after)[0]), where
    finally:
        desk.kill()
        daemon.close()


def change_some(desk: Desk, draw: random.Random) -> None:
    """In one message: mostly a small edit somewhere, sometimes three, or all of it."""
    pieces = PIECES + (HALVES if desk.encoding == "utf-16" else ())
    if len(desk.text) > 400:
        desk.edit((0, len(desk.text), ""))
    for _ in range(draw.choice((1, 1, 1, 3))):
        new = "".join(draw.choices(pieces, k=draw.choice((0, 0, 1, 1, 2, 9))))
        start = somewhere(desk.text, draw)
        ends = [end for end in range(start, start + 9) if is_a_place(desk.text, end)]
        desk.edit((start, draw.choice(ends), new))


def somewhere(text: str, draw: random.Random) -> int:
    """Where a cursor can be."""
    return draw.choice([at for at in range(len(text) + 1) if is_a_place(text, at)])


def is_a_place(text: str, at: int) -> bool:
    return at <= len(text) and text[at - 1 : at + 1] != "\r\n"


def as_told(text: str) -> str:
    """Lines end in one way on the wire, and half a character is no Unicode."""
    text = re.sub("\r\n?", "\n", text)
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
