"""Priming: a key costs a step, wherever in whatever text it is pressed."""

from typing import Any

import bases
import numpy as np
import pytest
from afterword_daemon.states import AT_MOST_BYTES, States, common
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.predictor import Symbols, prime
from afterword_trainer.model.step import Logits, NetworkPredictor, NumpyStep, State
from hypothesis import given, settings
from hypothesis import strategies as st

BUNDLE = bases.bundle()
TEXT = "Every morning the boats go out, and every evening they come home. " * 12
PASTE = "0123456789" * 30


class CountingStep(NumpyStep):
    """A step that counts how often it is taken."""

    n_taken = 0

    def __call__(self, symbols: Any, state: State) -> tuple[Logits, State]:
        """Advance, and count."""
        self.n_taken += 1
        return super().__call__(symbols, state)


def origin() -> tuple[Mix, CountingStep]:
    """A predictor that has observed nothing, and what counts its steps."""
    step = CountingStep(BUNDLE.spec, BUNDLE.weights)
    memory = Memory(BUNDLE.alphabet)
    return Mix(NetworkPredictor(step), memory, Mixer.default(), learning=False), step


def prime_in(states: States, text: str, document: str = "") -> Mix:
    """The predictor behind `text`, as `states` leads there."""
    symbols = BUNDLE.alphabet.encode(text)
    walk = states.prime(symbols, document)
    while True:
        try:
            next(walk)
        except StopIteration as done:
            place: Mix = done.value.at(len(symbols))
            return place


def logits(place: Mix) -> list[float]:
    """What the network says there."""
    assert place.network
    return [float(x) for x in place.network.logits()]


@pytest.mark.parametrize(
    ("texts", "n_steps"),
    [
        pytest.param([TEXT, TEXT + "a"], 1, id="a key"),
        pytest.param([TEXT, TEXT[:-1]], 0, id="a deletion"),
        pytest.param([TEXT, TEXT[:-20]], 0, id="a word deleted letter by letter"),
        pytest.param([TEXT, TEXT + "ab", TEXT, TEXT + "c"], 3, id="an undo"),
        pytest.param([TEXT, TEXT + PASTE, TEXT], 300 + 24, id="a paste and an undo"),
        pytest.param([TEXT, TEXT[:400], TEXT], 16, id="a look further up"),
        pytest.param([TEXT, TEXT[:400] + "b" + TEXT[300:], TEXT], 16 + 1 + 492, id="an edit there"),
        pytest.param([TEXT, PASTE, TEXT, PASTE], 300, id="two places in one document"),
        pytest.param([TEXT, TEXT], 0, id="the same again"),
        pytest.param([TEXT[:40], TEXT[:9] + PASTE, TEXT[:41]], 300 + 1 + 40, id="a common header"),
        pytest.param([TEXT, "", TEXT], 0, id="the beginning"),
    ],
)
def test_what_was_primed_is_not_primed_again(texts: list[str], n_steps: int) -> None:
    """Going from each text to the next takes at most the steps of what is new."""
    mix, step = origin()
    states = States(mix, 1000)
    prime_in(states, texts[0])
    before = step.n_taken
    for text in texts[1:]:
        prime_in(states, text)
    assert step.n_taken - before <= n_steps


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.integers(0, 60), st.text("ab \né漢", max_size=40)),
        max_size=5,
    ),
    st.sampled_from((0, 40_000, 8 << 20)),
)
@settings(max_examples=20)
def test_it_leads_where_priming_from_nothing_does(
    edits: list[tuple[int, int, str]], at_most_bytes: int
) -> None:
    """Through whatever edits, and with however little room."""
    states = States(origin()[0], 1000, at_most_bytes=at_most_bytes)
    text = TEXT[:80]
    for at, n_deleted, inserted in [(0, 0, ""), *edits]:
        text = text[:at] + inserted + text[at + n_deleted :]
        place = prime_in(states, text)
        alone, _ = origin()
        prime(alone, BUNDLE.alphabet.encode(text))
        assert logits(alone) == logits(place)
        assert states.n_bytes <= at_most_bytes


def test_it_goes_on_where_it_was_left() -> None:
    """Work that nobody waits for any more is not lost."""
    mix, step = origin()
    states = States(mix, 1000)
    walk = states.prime(BUNDLE.alphabet.encode(TEXT))
    for _ in range(300):
        next(walk)
    del walk
    prime_in(states, TEXT)
    assert len(TEXT) == step.n_taken


def test_the_pool_is_bounded() -> None:
    """Many documents and many places in them take no more than is allowed."""
    states = States(origin()[0], 1000, at_most_bytes=120_000)
    for number in range(9):
        prime_in(states, f"{number} {TEXT[:200]}")
        assert 0 < states.n_bytes <= 120_000
    for at in range(0, 200, 3):
        prime_in(states, TEXT[:at])
        assert states.n_bytes <= 120_000


def test_many_long_documents_share_the_pool() -> None:
    """Those that were used last are there without a step."""
    mix, step = origin()
    states = States(mix, 20_000)
    texts = [f"{number}: {TEXT * 2}" for number in range(30)]
    for text in texts:
        prime_in(states, text)
        assert states.n_bytes <= AT_MOST_BYTES
    before = step.n_taken
    for text in reversed(texts[-3:]):
        prime_in(states, text)
    assert step.n_taken == before


@pytest.mark.parametrize("n_places", [2, 3, 20, 40])
def test_what_is_in_use_stays_in_the_smallest_pool(n_places: int) -> None:
    """Of so large a network that not even one text fits: a key costs a step all the same."""
    mix, step = origin()
    states = States(mix, 1000, at_most_bytes=n_places * 1000)
    prime_in(states, TEXT)
    before = step.n_taken
    for n in range(1, 9):
        prime_in(states, TEXT + "abcdefgh"[:n])
        assert 0 < states.n_bytes <= n_places * 1000
    assert step.n_taken - before == 8


def test_a_closed_document_leaves_no_text_behind() -> None:
    """And the others keep theirs."""
    mix, step = origin()
    states = States(mix, 1000)
    prime_in(states, TEXT, "a")
    prime_in(states, PASTE, "b")
    prime_in(states, TEXT[:100] + PASTE, "a")
    n_before = states.n_bytes
    states.forget("a")
    assert 0 < states.n_bytes < n_before / 2
    before = step.n_taken
    prime_in(states, PASTE, "b")
    assert step.n_taken == before
    prime_in(states, TEXT, "a")
    assert step.n_taken == before + len(TEXT)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_is_the_longest_beginning_of_both(a: list[int], b: list[int]) -> None:
    """Neither shorter nor longer."""
    n = common(_symbols(a), _symbols(b))
    assert a[:n] == b[:n]
    assert a[n : n + 1] != b[n : n + 1] or n == len(a) == len(b)


def _symbols(ids: list[int]) -> Symbols:
    return np.array(ids, np.uint16)


def test_a_forgotten_text_goes_though_another_document_begins_alike() -> None:
    """It would be the other one's by name."""
    states = States(origin()[0], 1)
    prime_in(states, TEXT, "a")
    prime_in(states, TEXT[:20], "b")
    states.forget("a")
    assert states.n_bytes <= 21
