"""How the next symbol is drawn from a distribution."""

import math
from collections import Counter

import numpy as np
import pytest
from afterword_trainer.model.alphabet import DOCUMENT, TEXT, Alphabet
from afterword_trainer.model.predictor import Distribution
from afterword_trainer.model.sampling import (
    GREEDY,
    Sampling,
    choose,
    find_cycle,
    generate,
    sharpen,
)
from hypothesis import given
from hypothesis import strategies as st

ALPHABET = Alphabet("é")
N_DRAWS = 10_000


def weights(*values: float) -> Distribution:
    return np.array(values, np.float32)


class Chain:
    """A predictor whose next symbol depends on the last one alone, by a table."""

    def __init__(self, table: dict[str, dict[str, float]], last: str = "") -> None:
        self.table = table
        self.last = last

    def observe(self, symbol: int) -> None:
        self.last = ALPHABET.decode([symbol])

    def distribution(self) -> Distribution:
        distribution = np.zeros(ALPHABET.size, np.float32)
        for character, probability in self.table[self.last].items():
            symbol = DOCUMENT if character == "END" else int(ALPHABET.encode(character)[0])
            distribution[symbol] = probability
        return distribution

    def fork(self) -> "Chain":
        return Chain(self.table, self.last)


COIN = {"": {"a": 0.5, "b": 0.5}, "a": {"a": 0.3, "b": 0.7}, "b": {"a": 0.6, "b": 0.4}}


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=1.0), [0.1, 0.2, 0.3, 0.4]),
        (Sampling(temperature=0.5), [1 / 30, 4 / 30, 9 / 30, 16 / 30]),
        (GREEDY, [0, 0, 0, 1]),
        (Sampling(temperature=1.0, top_k=2), [0, 0, 3 / 7, 4 / 7]),
        (Sampling(temperature=1.0, top_k=9), [0.1, 0.2, 0.3, 0.4]),
        (Sampling(temperature=1.0, top_p=0.7), [0, 0, 3 / 7, 4 / 7]),
        (Sampling(temperature=1.0, top_p=0.71), [0, 2 / 9, 3 / 9, 4 / 9]),
        (Sampling(temperature=1.0, top_p=1e-9), [0, 0, 0, 1]),
        (Sampling(temperature=1.0, top_k=3, top_p=0.5), [0, 0, 3 / 7, 4 / 7]),
    ],
)
def test_settings_shape_the_distribution(sampling: Sampling, expected: list[float]) -> None:
    """Temperature divides the logits, then top-k, then top-p of what is left."""
    sharpened = sharpen(weights(0.1, 0.2, 0.3, 0.4), sampling)

    assert expected == pytest.approx(sharpened.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("temperature", -0.1, "0 is greedy"),
        ("temperature", 2.1, "0 to 2"),
        ("temperature", math.nan, "0 to 2"),
        ("top_k", -1, "0 keeps every symbol"),
        ("top_p", 0.0, "1 keeps all"),
        ("top_p", 1.5, "1 keeps all"),
    ],
)
def test_a_setting_out_of_range_is_refused(field: str, value: float, remedy: str) -> None:
    """The message names the value and what to use instead."""
    with pytest.raises(ValueError, match=remedy):
        Sampling(**{field: value})  # type: ignore[arg-type]


def test_greedy_ties_go_to_the_lowest_id() -> None:
    """Two symbols as likely: always the first of them, and no random number is used up."""
    rng = np.random.default_rng(1)
    untouched = np.random.default_rng(1)

    assert choose(weights(0.2, 0.4, 0.4), GREEDY, rng) == 1
    assert rng.random() == untouched.random()


def test_symbols_are_drawn_as_often_as_they_are_likely() -> None:
    """Ten thousand draws at temperature 1 come close to the distribution itself."""
    rng = np.random.default_rng(7)
    counts = Counter(
        choose(weights(0.1, 0, 0.6, 0.3), Sampling(temperature=1.0), rng) for _ in range(N_DRAWS)
    )
    shares = [counts[symbol] / N_DRAWS for symbol in range(4)]

    assert shares == pytest.approx([0.1, 0, 0.6, 0.3], abs=0.02)


class Drawn:
    """A source of one random number."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


@pytest.mark.parametrize(("number", "expected"), [(0.0, 1), (0.5, 2), (1 - 2**-53, 3)])
def test_an_impossible_symbol_is_never_drawn(number: float, expected: int) -> None:
    """Not even by the smallest and the largest of random numbers."""
    distribution = weights(0, 0.3, 0.4, 0.3, 0)

    assert choose(distribution, Sampling(temperature=1.0), Drawn(number)) == expected  # type: ignore[arg-type]


finite = st.floats(-1.0, 2.0**127, width=32, allow_subnormal=True)
settings_of_all_kinds = st.builds(
    Sampling,
    temperature=st.one_of(st.just(0.0), st.just(5e-324), st.floats(0, 2)),
    top_k=st.integers(0, 5),
    top_p=st.floats(0, 1, exclude_min=True),
)


@given(
    values=st.lists(finite, min_size=2, max_size=6),
    sampling=settings_of_all_kinds,
    excluded=st.sampled_from([(), (0,), (1,)]),
    seed=st.integers(0, 99),
)
def test_any_finite_distribution_gives_a_symbol(
    values: list[float], sampling: Sampling, excluded: tuple[int, ...], seed: int
) -> None:
    """Never a crash, never an excluded symbol, at any temperature; sharpened it sums to 1."""
    distribution = weights(*values)
    rng = np.random.default_rng(seed)
    chosen = choose(distribution, sampling, rng, exclude=excluded)
    sharpened = sharpen(distribution, sampling, exclude=excluded)

    assert 0 <= chosen < len(values)
    assert chosen not in excluded
    assert float(sharpened.sum()) == pytest.approx(1, abs=1e-5)
    assert all(sharpened[symbol] == 0 for symbol in excluded)


@pytest.mark.parametrize("temperature", [0, 1e-300, 0.3, 1, 1.8, 2])
def test_a_sure_distribution_stays_sure(temperature: float) -> None:
    """A one-hot distribution gives its symbol at any temperature."""
    rng = np.random.default_rng(3)

    assert choose(weights(0, 0, 1, 0), Sampling(temperature=temperature), rng) == 2


def test_where_only_an_excluded_symbol_is_likely_the_others_are_equal() -> None:
    """Nothing allowed has any weight: each allowed symbol gets the same."""
    sharpened = sharpen(weights(0, 1, 0), Sampling(), exclude=(1,))

    assert sharpened.tolist() == [0.5, 0, 0.5]


def test_generation_is_reproducible_and_leaves_the_predictor_alone() -> None:
    """The same seed gives the same text, another one another; the predictor can be used again."""
    predictor = Chain(COIN)

    def text(seed: int) -> str:
        rng = np.random.default_rng(seed)
        return "".join(generate(predictor, ALPHABET, Sampling(), 40, rng))

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert predictor.last == ""


def test_generation_streams_and_stops_after_so_many_characters() -> None:
    """Pieces come as they are drawn, forty characters of them and no more."""
    pieces = generate(Chain(COIN), ALPHABET, Sampling(), 40, np.random.default_rng(1))

    assert next(pieces) in ("a", "b")
    assert len("".join(pieces)) == 39


@pytest.mark.parametrize("n_characters", [0, -1])
def test_nothing_asked_for_is_nothing(n_characters: int) -> None:
    """No characters: no text, and no error."""
    pieces = generate(Chain(COIN), ALPHABET, GREEDY, n_characters, np.random.default_rng(1))

    assert list(pieces) == []


def test_generation_ends_where_the_document_does() -> None:
    """The symbol that begins another document ends this one."""
    table = {"": {"h": 1.0}, "h": {"é": 1.0}, "é": {"END": 1.0}}
    pieces = generate(Chain(table), ALPHABET, GREEDY, 40, np.random.default_rng(1))

    assert list(pieces) == ["h", "é"]


class Spelled:
    """A predictor that gives fixed symbols, one after another."""

    def __init__(self, symbols: list[int]) -> None:
        self.symbols = symbols

    def observe(self, symbol: int) -> None:
        self.symbols = self.symbols[1:]

    def distribution(self) -> Distribution:
        distribution = np.full(ALPHABET.size, 0.01, np.float32)
        distribution[self.symbols[0]] = 1
        return distribution

    def fork(self) -> "Spelled":
        return Spelled(self.symbols)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ([*"日".encode(), DOCUMENT], ["日"]),
        ([*"日".encode()[:2], DOCUMENT], ["\ufffd"]),  # the document ends inside a character
        ([*"日".encode()[:2], ord("x"), DOCUMENT], ["\ufffdx"]),
        ([TEXT, ord("x"), DOCUMENT], ["\x00", "x"]),  # never the symbol that ends a header
    ],
)
def test_text_comes_in_whole_characters(symbols: list[int], expected: list[str]) -> None:
    """A character that is spelled in bytes is one piece; what never was one shows as such."""
    pieces = generate(Spelled(symbols), ALPHABET, GREEDY, 40, np.random.default_rng(1))

    assert expected == list(pieces)


def test_the_last_piece_is_cut_to_length() -> None:
    """A broken character and the one that shows it broken are two: one of them is over."""
    symbols = [*"日".encode()[:2], ord("x")]
    pieces = generate(Spelled(symbols), ALPHABET, GREEDY, 1, np.random.default_rng(1))

    assert list(pieces) == ["\ufffd"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("to be or not to be, that is the question", None),
        ("and so on...", None),  # too short a tail to be a cycle
        ("the company and the company and the company and ", (16, 0)),
        ("He said: the company and the company and the company and", (16, 8)),
        ("He said: the company and the company and", None),  # twice is no cycle yet
        ("x" + "-" * 80, (1, 1)),
        ("abc" + "no " * 7 + "yes, " * 20, (5, 23)),
    ],
)
def test_a_cycle_is_found_with_its_period_and_start(
    text: str, expected: tuple[int, int] | None
) -> None:
    """Text that ends by repeating itself three times or more, from where it does."""
    assert expected == find_cycle(text)


@given(
    before=st.text("ab", max_size=20),
    cycle=st.text("abc", min_size=1, max_size=9),
    repeats=st.integers(0, 9),
)
def test_a_cycle_is_what_it_says(before: str, cycle: str, repeats: int) -> None:
    """The tail from `start` has the period, no shorter period has such a tail, none is missed."""
    text = before + cycle * repeats

    def tail(period: int) -> int:
        start = len(text) - period
        while start > 0 and text[start - 1] == text[start - 1 + period]:
            start -= 1
        return start

    found = [
        (period, tail(period))
        for period in range(1, len(text))
        if len(text) - tail(period) >= max(3 * period, 24)
    ]

    assert (found[0] if found else None) == find_cycle(text)
