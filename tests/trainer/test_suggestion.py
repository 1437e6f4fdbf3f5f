"""What is offered at the cursor, by predictors whose continuation is known."""

from itertools import permutations

import numpy as np
import pytest
from afterword_trainer.baselines import CharacterNgrams
from afterword_trainer.model.alphabet import DOCUMENT, Alphabet
from afterword_trainer.model.predictor import Distribution
from afterword_trainer.model.suggestion import (
    EAGERNESS,
    Continuation,
    Policy,
    Rollout,
    choices,
    cut,
    readable,
    suggest,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ALPHABET = Alphabet("é")
CHATTY = Policy(min_probability=0.0, max_characters=20)


class Path:
    """A predictor that is `sure` of each symbol of a fixed path in turn; counts its steps."""

    learning = False

    def __init__(self, symbols: list[int], sure: list[float], at: int = 0) -> None:
        self.symbols, self.sure, self.at = symbols, sure, at
        self.steps = [0]  # shared by all forks

    def observe(self, symbol: int) -> None:
        self.at += 1
        self.steps[0] += 1

    def distribution(self) -> Distribution:
        end = self.at >= len(self.symbols)
        sure = 1.0 if end else self.sure[self.at]
        distribution = np.full(ALPHABET.size, (1 - sure) / (ALPHABET.size - 1), np.float32)
        distribution[DOCUMENT if end else self.symbols[self.at]] = sure
        return distribution

    def fork(self) -> "Path":
        twin = Path(self.symbols, self.sure, self.at)
        twin.steps = self.steps
        return twin


def path(text: str, sure: float | list[float] = 0.99) -> Path:
    symbols = ALPHABET.encode(text).tolist()
    return Path(symbols, sure if isinstance(sure, list) else [sure] * len(symbols))


def offered(text: str, policy: Policy = CHATTY, sure: float | list[float] = 0.99) -> str:
    suggestion = suggest(path(text, sure), ALPHABET, policy)
    return suggestion.text if suggestion else ""


MULTILINE = Policy(multiline=True, min_probability=0.0)


@pytest.mark.parametrize(
    ("coming", "policy", "expected"),
    [
        ("words to come", CHATTY, "words to come"),
        ("words to come and more", CHATTY, "words to come and mo"),  # 20 characters
        ("words to come", Policy(max_characters=5), "words"),
        ("", CHATTY, ""),
        ("w", CHATTY, ""),  # one character saves no key
        ("one line\nand another", CHATTY, "one line"),
        ("one line\nand another", MULTILINE, "one line\nand another"),
        ("\nnext", CHATTY, ""),
        ("  ", CHATTY, ""),  # nobody sees two blanks
        ("    ", CHATTY, "    "),  # an indentation is worth it
        ("    ", Policy(min_blanks=5), ""),
        ("  word", CHATTY, "  word"),
        ("bell\x07 rings", CHATTY, "bell"),
        ("tab\tbed", CHATTY, "tab\tbed"),
        ("caf\u00e9 au lait", CHATTY, "caf\u00e9 au lait"),  # an id of its own
        ("日本語", CHATTY, "日本語"),  # nine bytes
        ("a\ufffdb", CHATTY, ""),
        ("ab\ud800c", CHATTY, "ab"),  # half of a pair
    ],
)
def test_the_likeliest_text_is_offered(coming: str, policy: Policy, expected: str) -> None:
    """To the end of the line or the text, whole characters, nothing that cannot be written."""
    assert expected == offered(coming, policy)


def test_a_character_spelled_in_bytes_is_never_halved() -> None:
    """Where the model is sure of the first byte alone, the character before is the last."""
    coming = "ab日"
    sure = [0.99, 0.99, 0.99, 0.5, 0.02]

    assert offered(coming, sure=sure) == "ab"
    assert offered(coming, Policy(max_characters=3)) == "ab日"
    assert offered(coming, Policy(max_characters=2)) == "ab"


def test_broken_utf8_is_not_offered() -> None:
    """A byte that no character has ends the suggestion before it."""
    suggestion = suggest(Path([*b"ab", 0xE6, *b"cd"], [0.99] * 5), ALPHABET, CHATTY)

    assert suggestion is not None
    assert suggestion.text == "ab"


@pytest.mark.parametrize(
    ("sure", "expected"),
    [
        ([0.9, 0.9, 0.9, 0.9, 0.9, 0.9], "abcdef"),
        ([0.9, 0.9, 0.9, 0.1, 0.9, 0.9], "abc"),  # beyond it lies little
        ([0.9, 0.2, 0.9, 0.9, 0.9, 0.9], "abcdef"),
        ([0.3, 0.3, 0.3, 0.3, 0.3, 0.3], "ab"),
        ([0.01, 0.9, 0.9, 0.9, 0.9, 0.9], ""),  # not worth looking at
    ],
)
def test_it_is_cut_where_the_model_gets_unsure(sure: list[float], expected: str) -> None:
    """The cut weighs the length of a suggestion against its chance to be right."""
    assert expected == offered("abcdef", sure=sure)


def test_probability_and_saving_belong_to_the_text_offered() -> None:
    """For two characters half sure each: right once in four times, then saving one key."""
    suggestion = suggest(path("ab", 0.5), ALPHABET, CHATTY)

    assert suggestion is not None
    assert suggestion.text == "ab"
    assert suggestion.probability == pytest.approx(0.25)
    assert suggestion.expected_saving == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("least", "expected"), [(0.0, "abcd"), (0.6, "abcd"), (0.7, "abc"), (0.75, "ab"), (0.9, "")]
)
def test_what_is_too_improbable_is_not_shown(least: float, expected: str) -> None:
    """The longest beginnings fall away first: two characters and more are reached by 80 to 61 %."""
    assert expected == offered("abcd", Policy(min_probability=least), [0.89, 0.9, 0.9, 0.85])


def played(reached: list[float], cuts: list[int]) -> float:
    """Expected keys saved on a path by one who is offered characters i to cuts[i] at each i."""

    def saved(n_right: int) -> int:
        total = at = 0
        while at < n_right:
            right = at < cuts[at] <= n_right
            total += cuts[at] - at - 1 if right else 0
            at = cuts[at] if right else at + 1
        return total

    return sum(
        (here - beyond) * saved(n_right)
        for n_right, (here, beyond) in enumerate(zip(reached, [*reached[1:], 0.0], strict=True))
    )


@given(
    sure=st.lists(st.floats(0.5, 1.0), min_size=1, max_size=6),
    least=st.sampled_from([0.0, 0.3, 0.6]),
)
def test_no_other_cut_saves_more(sure: list[float], least: float) -> None:
    """Played out key by key, with what is offered later on this path, the cut is the best one.

    Its advantage over silence is the saving that it states; only cuts that are probable enough
    are looked at, and silence is kept where none of them saves anything.
    """
    predictor = path("abcdef"[: len(sure)], sure)
    policy = Policy(min_probability=least)
    suggestions = [
        suggest(Path(predictor.symbols, predictor.sure, at), ALPHABET, policy)
        for at in range(len(sure))
    ]
    cuts = [at + len(later.text) if later else 0 for at, later in enumerate(suggestions)]
    reached = [1.0]
    for probability in sure:
        reached.append(reached[-1] * float(np.float32(probability)))
    silent = played(reached, [0, *cuts[1:]])
    advantages = [
        played(reached, [end, *cuts[1:]]) - silent
        for end, probability in enumerate(reached)
        if probability >= least
    ]

    if suggestions[0]:
        assert suggestions[0].expected_saving == pytest.approx(advantages[cuts[0]])
        assert suggestions[0].expected_saving >= max(advantages) - 1e-9
    else:
        assert max(advantages) <= 1e-9


def test_nothing_is_rolled_out_beyond_where_a_cut_could_matter() -> None:
    """Half sure of each symbol, a rollout ends after seven: six are below one in sixty-four."""
    predictor = path("abcdefghijklmnop", 0.5)
    suggest(predictor, ALPHABET, CHATTY)

    assert predictor.steps[0] == 6


def test_the_predictor_is_left_as_it_is() -> None:
    """Asking twice gives the same answer, and the predictor has observed nothing."""
    predictor = path("words to come")
    first = suggest(predictor, ALPHABET, CHATTY)

    assert first == suggest(predictor, ALPHABET, CHATTY)
    assert predictor.at == 0


TEXT = "she sells sea shells; the shells she sells are sea shells, I am sure. 日本の貝 日本の貝 "


@settings(max_examples=40)
@given(
    pieces=st.lists(
        st.sampled_from(["she ", "sells", " sea", "日本", "の", "貝 ", "x", "\n", "shells"]),
        max_size=8,
    ),
    policy=st.builds(
        Policy,
        max_characters=st.integers(2, 30),
        multiline=st.booleans(),
        min_probability=st.sampled_from([0.0, 0.1, 0.5]),
    ),
)
def test_a_rollout_that_is_followed_answers_as_a_new_one(pieces: list[str], policy: Policy) -> None:
    """Typing along with a rollout changes how fast the answer comes, never the answer."""
    predictor = CharacterNgrams(ALPHABET.encode(TEXT * 3), ALPHABET.size, order=5).predictor()
    rollout: Rollout | None = None
    for character in "".join(pieces):
        for symbol in ALPHABET.encode(character).tolist():
            predictor.observe(symbol)
            if rollout and not rollout.follow(symbol):
                rollout = None
        rollout = rollout or Rollout(predictor)

        expected = suggest(predictor, ALPHABET, policy)
        assert cut(readable(rollout, ALPHABET, policy), policy) == expected


def test_typing_along_costs_no_new_rollout() -> None:
    """What was rolled out before is there: the next suggestion needs no step at all here."""
    predictor = path("words to come")
    rollout = Rollout(predictor)
    readable(rollout, ALPHABET, CHATTY)
    before = predictor.steps[0]

    assert rollout.follow(ord("w"))
    suggestion = cut(readable(rollout, ALPHABET, CHATTY), CHATTY)
    assert suggestion is not None
    assert suggestion.text == "ords to come"
    assert predictor.steps[0] == before
    assert not rollout.follow(ord("x"))


def test_a_rollout_can_be_followed_beyond_what_it_has_seen() -> None:
    """Following a rollout that was never cut grows it on the way."""
    rollout = Rollout(path("words"))

    assert all(rollout.follow(symbol) for symbol in b"word")
    assert not rollout.follow(ord("!"))


# -- a list ------------------------------------------------------------------------------------


def leading(text: str, sure: list[float], *, is_whole: bool = True) -> Continuation:
    """A path that is `sure` of its first characters, and of each one after them by 0.99."""
    reached = [1.0]
    for number in range(len(text)):
        reached.append(reached[-1] * (sure[number] if number < len(sure) else 0.99))
    return Continuation(text, reached, is_whole)


def listed(*paths: tuple[str, list[float]], n: int = 3, **policy: float) -> list[str]:
    """What is offered of these paths, in a list."""
    continuations = [leading(text, sure) for text, sure in paths]
    found = choices(continuations, Policy(min_probability=policy.get("least", 0.1)), n)
    assert all(continuations[i].text.startswith(one.text) for i, one in found.items())
    return [suggestion.text for suggestion in found.values()]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        # The first one as `cut` has it, and of the others whole words.
        ([("out of it", [0.9]), ("in the", [0.05, 0.3])], ["out of it", "in the"]),
        ([("out of", [0.9, 0.9, 0.9, 0.9, 0.01]), ("above", [0.01])], ["out ", "above"]),
        ([("river", [0.3, 0.5, 0.1]), ("day", [0.1, 0.1])], ["river", "day"]),
        # Until they part; the first gets longer for it.
        ([("out of", [0.9] * 4 + [0.3]), ("out in", [0.9] * 4 + [0.2])], ["out of", "out in"]),
        # Unless it gets so improbable that the list is worth less than half.
        ([("out of", [0.9] * 4 + [0.01]), ("out in", [0.9] * 4 + [0.01])], ["out "]),
        ([("same", [0.5]), ("same", [0.5]), ("other", [0.1])], ["same", "other"]),
        ([("it", [0.2]), ("its", [0.2, 0.9, 0.1])], ["it"]),
        # What cannot be offered by itself is not first.
        ([("improbable", [0.001]), ("likely", [0.3])], ["likely", "improbable"]),
        ([("", []), ("likely", [0.3])], ["likely"]),
        # Beginnings that say nothing: blanks, marks.
        ([(" of the", [0.3, 0.3, 0.9, 0.9, 0.01])], [" of "]),
        ([(". The end", [0.3, 0.3, 0.01])], [". The"]),
        ([("  ", [0.9, 0.9])], ["  "]),
        ([("):", [0.3])], ["):"]),
        ([("日本語", [0.3, 0.3, 0.01])], ["日本"]),  # no blank is there to be waited for
        ([], []),
    ],
)
def test_a_list_has_whole_words_that_differ(
    paths: list[tuple[str, list[float]]], expected: list[str]
) -> None:
    """None begins with another, and the first is the one that would be offered alone."""
    assert listed(*paths) == expected


def test_a_list_has_the_best_and_no_more_than_wanted() -> None:
    """However the others are sorted."""
    words = [("best", [0.4]), ("rare", [0.01]), ("good", [0.2]), ("fair", [0.1])]

    assert listed(*words) == ["best", "good", "fair"]
    assert listed(*words, n=1) == ["best"]


def test_a_word_of_which_the_end_was_not_read_is_in_no_list() -> None:
    """It would end anywhere; but the first one is in it all the same."""
    half = leading("improbab", [0.1], is_whole=False)
    found = choices([leading("likely", [0.5]), half], CHATTY, 3)

    assert [suggestion.text for suggestion in found.values()] == ["likely"]
    assert choices([half], CHATTY, 3)[0].text == "improbab"  # what is shown without a list stays
    assert readable(Rollout(path("ab", 0.5)), ALPHABET, CHATTY).is_whole
    assert not readable(Rollout(path("abcdefgh", 0.5)), ALPHABET, CHATTY).is_whole


@given(
    paths=st.lists(
        st.tuples(
            st.text("ab c.日", max_size=8), st.lists(st.floats(0.01, 1), min_size=8, max_size=8)
        ),
        max_size=6,
    ),
    least=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_no_line_of_a_list_begins_with_another(
    paths: list[tuple[str, list[float]]], least: float
) -> None:
    """Whatever is expected; and a word is never cut."""
    found = listed(*paths, least=least)

    assert not any(other.startswith(one) for one, other in permutations(found, 2))
    for one in found:
        assert len(one) >= 2
        assert any(
            text.startswith(one) and not (one[-1] in "abc" and text[len(one) :][:1] in [*"abc"])
            for text, _ in paths
        )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("max_characters", 1, "max-characters 1 is below 2"),
        ("min_probability", -0.1, "min-probability -0.1"),
        ("min_probability", 1.5, "min-probability 1.5"),
        ("min_probability", float("nan"), "min-probability nan"),
    ],
)
def test_a_policy_out_of_range_is_refused(field: str, value: float, message: str) -> None:
    """The message names the setting and its value."""
    with pytest.raises(ValueError, match=message):
        Policy(**{field: value})  # type: ignore[arg-type]


def test_the_quieter_the_rarer() -> None:
    """The named degrees of eagerness are in order, and the default is one of them."""
    assert EAGERNESS["chatty"] < EAGERNESS["balanced"] < EAGERNESS["quiet"]
    assert Policy().min_probability in EAGERNESS.values()
