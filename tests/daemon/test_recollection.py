"""What the memory is taught while documents are open."""

import bases
import numpy as np
import pytest
from afterword_daemon.recollection import (
    MOST_CHARACTERS,
    MOST_DOCUMENTS,
    Recollection,
    is_unsaved,
    pieces_of,
    typed,
    whole_words,
    word_ends,
)
from afterword_trainer import secrets
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import FEWEST_BYTES, SLICE, Memory
from hypothesis import given
from hypothesis import strategies as st

ALPHABET = bases.bundle().alphabet
TEXT = "\n".join(f"On day {day} we counted {day * 7} boats." for day in range(200))


def finish(recollection: Recollection) -> int:
    """Do all that waits; in how many slices."""
    n = 0
    while recollection.work():
        n += 1
    return n


def holds(memory: Memory, text: str) -> bool:
    """Whether `text`, all ASCII, is anywhere in what a memory holds."""
    return text.encode("utf-16-le") in b"".join(memory.dump())


def remembered(*texts: str) -> tuple[Recollection, Memory]:
    """A memory that held each text of one document, one after the other."""
    memory = Memory(ALPHABET)
    recollection = Recollection(memory, ALPHABET)
    for text in texts:
        recollection.remember("a", text)
        finish(recollection)
    return recollection, memory


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("The riv", "The rive", (0, 1)),
        ("The riv", "The riv", (0, 0)),
        ("The riv", "The ri", (1, 0)),
        ("The rov", "The riv", (2, 2)),
        ("", "The", (0, 3)),
        ("if x:", "if x:\n        ", (0, 9)),
        ("The riv", "The river rose in the", (0, 14)),  # fast keys
        ("The ", "The river rose in the night and fell", (0, 32)),  # accepted
        ("The ", "The river rose in", (0, 13)),  # accepted in part
        ("The ", "The river rose in the night and fell by day", (0, 39)),  # and typed on
        ("The ", "The quick brown fox jumps over the lazy dog", None),  # a paste
        ("One place. " * 9, "Quite another. " * 9, None),  # a jump
        ("One place. " * 9, "One place. " * 3, (66, 0)),
        ("One place. " * 9, ("One place. " * 9)[50:] + "ab", (0, 2)),  # the anchor moved
        ("short", "quite another text", None),
    ],
)
def test_what_was_typed_is_told_from_what_was_pasted(
    before: str, now: str, expected: tuple[int, int] | None
) -> None:
    """(taken back, typed), or None for a jump or a paste."""
    offered = [ALPHABET.encode("river rose in the night and fell")]
    assert expected == typed(ALPHABET.encode(before), ALPHABET.encode(now), offered)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("river", 0),
        ("river ", 6),
        ("river r", 6),
        ("the river", 4),
        ("don't", 0),
        ("snake_case", 0),
        ("été漢字", 0),
        ("f(x)", 4),
        ("x" * 25, 25),  # no end in sight
        ("", 0),
    ],
)
def test_words_wait_for_their_end(new: str, expected: int) -> None:
    """How many of the symbols typed are complete words."""
    assert expected == whole_words(ALPHABET.encode(new), word_ends(ALPHABET))


@given(st.text(max_size=5000))
def test_pieces_make_up_the_text(text: str) -> None:
    """Nothing is lost between them, and none is long."""
    pieces = list(pieces_of(text))
    assert text == "".join(pieces)
    assert all(0 < len(piece) <= 8000 for piece in pieces)


@given(st.integers(0, len(TEXT)), st.text("ab\n", max_size=30))
def test_an_edit_changes_few_pieces(at: int, inserted: str) -> None:
    """Wherever it is, and however much it moves what follows."""
    edited = TEXT[:at] + inserted + TEXT[at:]
    assert len(set(pieces_of(edited)) - set(pieces_of(TEXT))) <= 2 + inserted.count("\n")


def test_an_open_document_is_in_the_memory_until_it_is_closed() -> None:
    """Replaced by what it is now, and then gone."""
    recollection, memory = remembered(TEXT, TEXT.replace("boats", "ships"))
    assert len(TEXT) == len(memory)
    assert holds(memory, "ships")
    assert not holds(memory, "boats")
    recollection.close("a")
    finish(recollection)
    assert (len(memory), memory.documents()) == (0, [])


def test_the_line_end_of_a_file_is_not_expected() -> None:
    """Work goes on in its last line, which may be half written."""
    _, memory = remembered(TEXT + "\n")
    assert len(TEXT) == len(memory)


def test_only_what_changed_is_learned_again() -> None:
    """An edit costs some slices, not as many as the whole document."""
    text = "".join(f"{number}: {TEXT[:60]}\n" for number in range(800))
    recollection, _ = remembered()
    recollection.remember("a", text)
    n_anew = finish(recollection)
    recollection.remember("a", text[:9000] + "A sentence." + text[9000:])
    assert finish(recollection) < n_anew / 3


def test_typed_text_goes_when_the_text_that_has_it_comes() -> None:
    """It is not counted twice."""
    recollection, memory = remembered("The river")
    memory.learn(recollection.key("a"), ALPHABET.encode(" rose"))
    recollection.remember("a", "The river rose")
    finish(recollection)
    assert len(memory) == len("The river rose")


@pytest.mark.parametrize("n_slices", [0, 1, 2, 3, 4, 5])
def test_what_is_typed_meanwhile_stays(n_slices: int) -> None:
    """Between the text that replaces what was typed before it, and its being learned."""
    recollection, memory = remembered("The river")
    memory.learn(recollection.key("a"), ALPHABET.encode(" rose"))
    recollection.remember("a", "The river rose")
    for _ in range(n_slices):
        recollection.work()
    memory.learn(recollection.key("a"), ALPHABET.encode(" again"))
    finish(recollection)
    assert len(memory) == len("The river rose again")


def test_nothing_of_it_needs_to_be_stored() -> None:
    """Who stores a memory can tell what is here from what was learned for good."""
    recollection, memory = remembered(TEXT)
    memory.learn("notes/one.md", ALPHABET.encode("The river rose."))
    memory.learn(recollection.key("a"), ALPHABET.encode("The river fell."))
    unsaved = [key for key in memory.documents() if is_unsaved(key)]
    assert memory.copy(without=unsaved).documents() == ["notes/one.md"]


def test_what_was_only_typed_is_forgotten_too() -> None:
    """A document that was closed before it was ever remembered."""
    memory = Memory(ALPHABET)
    recollection = Recollection(memory, ALPHABET)
    memory.learn(recollection.key("a"), ALPHABET.encode("The river"))
    recollection.close("a")
    finish(recollection)
    assert len(memory) == 0


def test_secrets_are_not_learned() -> None:
    """A line with a key in it is left out."""
    _, memory = remembered("One.\napi_key = 'q8Zr4TnP0sXw7Lb2Vd9K'\nTwo.\n")
    assert holds(memory, "One.")
    assert not holds(memory, "q8Zr")


def test_it_is_bounded() -> None:
    """In documents."""
    memory = Memory(ALPHABET)
    recollection = Recollection(memory, ALPHABET)
    for number in range(MOST_DOCUMENTS + 5):
        recollection.remember(str(number), f"Document {number}.")
    finish(recollection)
    assert len(memory.documents()) == MOST_DOCUMENTS


def test_all_documents_together_are_bounded() -> None:
    """So that they leave room for what is typed; the one that was touched longest ago goes."""
    memory = Memory(ALPHABET)
    recollection = Recollection(memory, ALPHABET)
    for name in "abc":
        lines = (f"{name} {number} {'-' * 500}\n" for number in range(MOST_CHARACTERS // 1200))
        recollection.remember(name, "".join(lines))
        finish(recollection)
    assert len(memory) <= MOST_CHARACTERS
    assert [holds(memory, f"{name} 150 -") for name in "abc"] == [False, True, True]


def random_words(n: int, seed: int) -> str:
    """`n` lines of six words, none of them like another."""
    letters = np.random.default_rng(seed).integers(97, 123, (n, 6, 5)).astype(np.uint8)
    return "".join(" ".join(bytes(word).decode() for word in line) + "\n" for line in letters)


def test_what_had_to_go_from_a_full_memory_comes_back() -> None:
    """With the next text of its document, whatever of it has changed."""
    memory = Memory(ALPHABET, at_most_bytes=FEWEST_BYTES)
    recollection = Recollection(memory, ALPHABET)
    texts = {"a": random_words(700, 1), "b": random_words(1500, 2)}
    for name, text in texts.items():
        recollection.remember(name, text)
        finish(recollection)
    first_line = texts["a"][:36]
    assert not holds(memory, first_line)
    recollection.remember("a", texts["a"] + "and more\n")
    finish(recollection)
    assert holds(memory, first_line)
    assert memory.n_bytes <= FEWEST_BYTES


def test_no_slice_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the text is searched for secrets, learned, or others make room for it."""
    searched: list[int] = []
    find = secrets.find
    monkeypatch.setattr(secrets, "find", lambda text: searched.append(len(text)) or find(text))
    memory = Memory(ALPHABET, at_most_bytes=FEWEST_BYTES)
    recollection = Recollection(memory, ALPHABET)
    recollection.remember("a", random_words(1500, 1))
    recollection.remember("b", random_words(1500, 2))
    n_before, more = 0, True
    while more:
        searched.clear()
        more = recollection.work()
        assert sum(searched) <= 28_000
        assert abs(len(memory) - n_before) <= SLICE
        n_before = len(memory)
    assert n_before > 20_000


@pytest.mark.parametrize("at", [0, 2_000, 7_900, 30_000])
def test_a_secret_is_left_out_wherever_it_stands(at: int) -> None:
    """The longest there is, though the text is searched a window at a time."""
    body = "".join(f"{'AbCd' * 15}{number:04}\n" for number in range(290))  # no random string
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n"
    prose = "".join(f"On day {day:04} we counted the boats.\n" for day in range(1000))
    _, memory = remembered(prose[: at // 36 * 36] + pem + prose[at // 36 * 36 :])
    assert not holds(memory, "AbCdAbCd")
    assert holds(memory, "On day 0999")


@pytest.mark.parametrize("n_slices", range(12))
def test_what_is_dropped_is_not_learned_by_halves(n_slices: int) -> None:
    """Whatever was under way is finished or undone; what was to be forgotten is forgotten."""
    recollection, memory = remembered(TEXT)
    recollection.remember("b", TEXT.replace("boats", "ships"))
    recollection.close("a")
    for _ in range(n_slices):
        recollection.work()
    recollection.drop()
    finish(recollection)
    assert not holds(memory, "boats")
    pieces = dict.fromkeys(pieces_of(TEXT.replace("boats", "ships")))
    assert len(memory) in [sum(map(len, [*pieces][:n])) for n in range(len(pieces) + 1)]
    recollection.remember("b", TEXT)
    finish(recollection)
    assert len(memory) == len(TEXT)


def test_reopening_does_not_forget_what_is_typed_then() -> None:
    """What was typed before goes, though it waits to be forgotten until later."""
    recollection, memory = remembered()
    memory.learn(recollection.key("a"), ALPHABET.encode("The river"))
    recollection.close("a")
    memory.learn(recollection.key("a"), ALPHABET.encode("The weir"))
    finish(recollection)
    assert holds(memory, "The weir")
    assert not holds(memory, "The river")


@given(st.text(max_size=200))
def test_every_alphabet_knows_where_words_end(characters: str) -> None:
    """One answer for each symbol."""
    alphabet = Alphabet("".join(sorted({c for c in characters if ord(c) > 127})))
    ends = word_ends(alphabet)
    assert ends.shape == (alphabet.size,)
    assert list(ends[[ord("a"), ord(" "), ord("\n"), 0xC3]]) == [False, True, True, False]
    assert ends.dtype == np.bool_
