"""Answers: what is offered, why nothing is, and that no cache has a say in it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import numpy as np
import pytest
from afterword_daemon.config import Learning, Settings
from afterword_daemon.engine import Engine, Superseded
from afterword_daemon.protocol import Complete, Completed, Options, Outcome, Remember
from afterword_daemon.reasons import EXPLANATIONS, Reason
from afterword_daemon.tally import Tally
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import FEWEST_BYTES, Memory
from afterword_trainer.model.mixing import Mixer
from afterword_trainer.model.step import NumpyStep
from afterword_trainer.remembering import Remembered
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

RANDOM = bases.bundle()
# So quiet that what the memory expects is heard, and yet each state says something else.
BUNDLE = replace(RANDOM, weights={name: array / 4 for name, array in RANDOM.weights.items()})
TEXT = "The river rose in the night and fell by day.\nWe counted the boats on the river.\n" * 20
RIVER = "ose in the night and fell by day."
SECRET = "q8Zr4TnP0sXw7Lb2Vd9K"


def engine(*, text: str = TEXT, settings: Settings | None = None, **options: Any) -> Engine:
    """A model of a few units that knows nothing, with a memory of `text`."""
    memory = Memory(BUNDLE.alphabet, at_most_bytes=16 << 20)
    if text:
        memory.learn("notes/one.md", BUNDLE.alphabet.encode(text))
    remembered = Remembered(memory=memory, mixer=Mixer.default())
    return Engine(BUNDLE, settings or Settings(), remembered=remembered, **options)


def ask(
    engine: Engine,
    before: str,
    superseded: Callable[[], bool] = lambda: False,
    learn: bool = True,
    **fields: Any,
) -> Completed:
    """The answer behind `before`."""
    request = Complete(**{"id": 7, "document": "a", "before": before} | fields)
    return asyncio.run(engine.complete(request, superseded, learn=learn))


def texts(completed: Completed) -> list[str]:
    """What is offered."""
    return [item.text for item in completed.items]


def goes_on(completed: Completed, expected: str) -> bool:
    """Whether there is a suggestion and `expected` begins with it."""
    return bool(completed.items) and expected.startswith(completed.items[0].text)


def rest(engine: Engine) -> None:
    """Let it do all that can wait."""
    while engine.work():
        pass


# -- suggestions -------------------------------------------------------------------------------


def test_what_was_written_is_expected() -> None:
    """One line of it, with the id of the request and of the model."""
    completed = ask(engine(), "In spring, the river r")
    assert goes_on(completed, "ose in the night and fell by day.")
    assert (completed.id, completed.model, completed.reason) == (7, BUNDLE.id, "")
    assert completed.items[0].probability > 0.1


MANY_LINES = Options(multiline=True, max_characters=200, min_probability=0.0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(max_characters=6), lambda text: 2 <= len(text) <= 6),
        (MANY_LINES, lambda text: "by day.\nWe counted" in text),
        (structs.replace(MANY_LINES, multiline=False), lambda text: text and "\n" not in text),
        (Options(min_probability=1.0), lambda text: text == ""),
    ],
)
def test_a_request_may_set_what_the_settings_say(
    options: Options, expected: Callable[[str], bool]
) -> None:
    """An editor's options hold for its request."""
    completed = ask(engine(), "In spring, the river r", options=options)
    assert expected("".join(texts(completed)))


def test_settings_hold_from_the_next_request_on() -> None:
    """They may be replaced at any time."""
    one = engine()
    assert texts(ask(one, "In spring, the river r"))
    one.settings = replace(one.settings, eagerness=1.0)
    assert not texts(ask(one, "In spring, the river ro"))


NOUNS = ("river", "rain", "roof", "rose", "rust")


def test_alternatives_differ_and_end_with_a_word() -> None:
    """When the user asks for them."""
    text = "".join(f"The {noun} rose in the night.\n" for noun in NOUNS * 9)
    one = engine(text=text)
    offered = texts(ask(one, "In spring, the r", invoked=True))
    assert 2 <= len({line.split()[0] for line in offered}) == len(offered) <= 3
    assert {"r" + line.split()[0] for line in offered} <= set(NOUNS)
    assert texts(ask(engine(text=text), "In spring, the r", invoked=True)) == offered
    assert (
        len(texts(ask(one, "In spring, the r", invoked=True, options=Options(alternatives=1)))) == 1
    )


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_the_first_alternative_is_what_would_have_come_by_itself(
    n: int, temperature: float, seed: int
) -> None:
    """Or begins with it: who asks for more does not lose what is on the screen."""
    text = "".join(f"The {noun} {verb}.\n" for noun in NOUNS for verb in ("rose", "fell") * 9)
    how = Settings(temperature=temperature, seed=seed, alternatives=n, eagerness=0.0)
    alone = texts(ask(engine(text=text, settings=how), "In spring, the r"))
    offered = texts(ask(engine(text=text, settings=how), "In spring, the r", invoked=True))
    assert len(offered) <= n
    assert not alone or offered[0].startswith(alone[0])


def test_what_does_not_fit_leaves_its_place_to_others() -> None:
    """As it stands right of the cursor already."""
    text = "".join(f"The {noun}.\n" for noun in NOUNS * 9)
    wanted = {"invoked": True, "options": Options(alternatives=2)}
    first, second = texts(ask(engine(text=text), "In spring, the r", **wanted))
    left = texts(ask(engine(text=text), "In spring, the r", after=f"{first} fell.", **wanted))
    assert len(left) == 2
    assert first not in left
    assert second in left


@pytest.mark.parametrize("temperature", [0.0, 0.4, 0.8])
def test_a_suggestion_does_not_flicker(temperature: float) -> None:
    """While its own characters are typed, what is left of it stays."""
    one = engine(settings=Settings(temperature=temperature, eagerness=0.0))
    before = "In spring, the r"
    (offered,) = texts(ask(one, before))
    word = offered.split(" ")[0]
    assert len(word) > 2
    for n in range(1, len(word) - 1):  # of the last letter alone there is nothing to offer
        (now,) = texts(ask(one, before + offered[:n]))
        assert now.startswith(offered[n:]) or offered[n:].startswith(now)


@pytest.mark.parametrize("temperature", [0.7, 1.5])
@pytest.mark.parametrize("seed", range(6))
def test_what_was_drawn_stays_though_something_is_learned(temperature: float, seed: int) -> None:
    """A word that was just completed, a document that is opened; the anchor may move, too."""
    one = engine(settings=Settings(temperature=temperature, seed=seed, eagerness=0.0))
    before, offered = TEXT[:300] + "In spring, the", ""
    while len(offered) < 4:
        ask(one, before)
        offered = "".join(texts(ask(one, before + " ")))
        before += " river" if not offered else f" {offered.strip()}"
    before = before.rsplit(" ", offered.strip().count(" ") + 1)[0]
    one.remember(Remember(document="b", text="In spring, the heron roared.\n" * 30))
    for n in range(1, len(offered) - 1):
        rest(one)
        (now,) = texts(ask(one, (before + " " + offered[:n])[n * 7 :]))
        assert now.startswith(offered[n:])
        rest(one)


def test_the_temperature_draws_another_text() -> None:
    """And the seed decides which."""
    text = "".join(f"The {noun} rose.\n" for noun in ("river", "rain", "roof", "wind", "sun") * 9)
    offered = set()
    for seed in range(12):
        options = Options(temperature=0.8, seed=seed, min_probability=0.0)
        offered.update(texts(ask(engine(text=text), "Then, the ", options=options)))
    assert len(offered) > 1


def test_what_stands_right_of_the_cursor_does_not_come_twice() -> None:
    """As `shaping` has it."""
    completed = ask(engine(), "In spring, the river r", after=" in the night and fell by day.")
    assert texts(completed) == ["ose"]


# -- reasons -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "settings", "before", "fields"),
    [
        (Reason.DISABLED, Settings(enable={"*": True, "c": False}), "the r", {"language": "c"}),
        (Reason.MANUAL, Settings(trigger="manual"), "the river r", {}),
        (Reason.LONG_LINE, Settings(), "x" * 5000, {}),
        (Reason.UNSURE, Settings(eagerness=1.0), "In spring, the river r", {}),
        (Reason.NOTHING, Settings(), "the river.", {}),
        (Reason.OVERLAP, Settings(), "the river ros", {"after": "e in the night and fell by day."}),
        (Reason.SECRET, Settings(eagerness=0.0), f"key = '{SECRET[:12]}", {}),
    ],
)
def test_silence_has_its_reason(
    reason: Reason, settings: Settings, before: str, fields: dict[str, str]
) -> None:
    """In the answer, and afterwards for who asks why; no text of the user's is in it."""
    one = engine(text=TEXT + f"key = '{SECRET}'\n" * 30, settings=settings)
    completed = ask(one, before, **fields)
    assert (texts(completed), completed.reason) == ([], reason.value)
    why = one.why("a")
    assert (why["reason"], why["explanation"]) == (reason.value, EXPLANATIONS[reason])
    assert "river" not in json.dumps(why)


@pytest.mark.parametrize("before", ["", " ", "\n\t\n"])
def test_where_nothing_is_written_yet_that_is_the_reason(before: str) -> None:
    """Not one that is about sureness."""
    completed = ask(engine(text="", settings=Settings(eagerness=0.0)), before)
    assert (texts(completed), completed.reason) == ([], Reason.NO_TEXT.value)


def test_without_a_model_there_is_nothing() -> None:
    """And the answer says so."""
    one = Engine(None, Settings())
    one.remember(Remember(document="a", text=TEXT))
    one.close("a")
    assert ask(one, "the r").reason == Reason.NO_MODEL.value
    assert (one.work(), one.memory_by_part()) == (False, {})


def test_each_reason_is_explained() -> None:
    """In a sentence for people."""
    assert set(EXPLANATIONS) == set(Reason)
    assert ask(one := engine(), "In spring, the river r").items
    assert one.why("a")["reason"] == ""
    assert one.why("never heard of") == {}


OFF = Settings(learning=Learning(enable=False))


@pytest.mark.parametrize("settings", [Settings(enable={"*": False}), OFF])
def test_off_means_off(settings: Settings) -> None:
    """Where suggestions are, or learning is, switched off nothing is learned."""
    one = engine(text="", settings=settings)
    one.remember(Remember(document="a", text=TEXT))
    rest(one)
    for n in range(40):
        ask(one, TEXT[:n])
    rest(one)
    assert one.memory_by_part()["memory"] == engine(text="").memory_by_part()["memory"]
    assert n_learned(one) == 0


def test_what_is_open_is_forgotten_where_learning_is_switched_off() -> None:
    """Typed or told; what was learned for good stays."""
    one = engine()
    n_before = n_learned(one)
    one.remember(Remember(document="b", text=SENTENCE * 50))
    type_text(one, SENTENCE)
    rest(one)
    assert n_learned(one) > n_before + 50 * len(SENTENCE)
    one.settings = OFF
    rest(one)
    assert n_learned(one) == n_before


# -- learning ----------------------------------------------------------------------------------


def type_text(one: Engine, text: str, before: str = "", **fields: Any) -> Completed:
    """Type it key by key; the last answer."""
    for n in range(len(text)):
        ask(one, before + text[:n], **fields)
    return ask(one, before + text, **fields)


def n_learned(one: Engine) -> int:
    """Symbols in its memory."""
    assert one._model
    return len(one._model.memory)


SENTENCE = "The heron waited by the weir.\n"
LINES = "".join(f"On day {day} we counted {day * 7} boats.\n" for day in range(90))


def test_a_language_that_is_switched_off_is_forgotten() -> None:
    """What its open documents taught, typed or told; the others stay."""
    one = engine(text="")
    for name, language in (("b", "markdown"), ("c", "latex")):
        one.remember(Remember(document=name, language=language, text=SENTENCE * 3))
        type_text(one, "The weir ", document=f"typed {name}", language=language)
    rest(one)
    one.settings = Settings(enable={"*": True, "markdown": False})
    rest(one)
    assert n_learned(one) == len((SENTENCE * 3).rstrip("\n")) + len("The weir ")
    assert one.why("typed b") == {}


def test_of_two_with_one_file_who_leaves_takes_his_own_text_along() -> None:
    """As the daemon tells their names apart."""
    one = engine(text="")
    for client, text in ("1 a", SENTENCE), ("2 a", "Another text.\n"):
        one.remember(Remember(document=client, text=text))
    rest(one)
    one.close("1 a")
    rest(one)
    assert n_learned(one) == len("Another text.")


def test_what_was_typed_is_expected_at_once() -> None:
    """And not before."""
    one = engine(text="")
    assert not texts(ask(one, "The her", document="b"))
    completed = type_text(one, SENTENCE + SENTENCE + "The her")
    assert goes_on(completed, "on waited by the weir.")


@pytest.mark.parametrize("event", ["paste", "pause", "off", "closed", "backspace", "forgotten"])
def test_what_was_not_typed_is_not_learned(event: str) -> None:
    """Pasted, while learning pauses, in a document that is closed by now, or taken back.

    Nor is what is typed into a file that the user had forgotten.
    """
    one = engine(text="")
    if event == "paste":
        ask(one, "")
        ask(one, SENTENCE * 3)
    elif event == "pause":
        one.is_paused = True
        type_text(one, SENTENCE * 2)
        one.is_paused = False
        ask(one, SENTENCE * 2 + "T")
    elif event == "forgotten":
        type_text(one, SENTENCE * 2, learn=False)
    elif event == "closed":
        type_text(one, SENTENCE * 2)
        one.close("a")
    elif event == "backspace":
        type_text(one, "The heron")
        for n in range(9, -1, -1):
            ask(one, "The heron"[:n])
    else:
        one.settings = Settings(enable={"*": False})
        type_text(one, SENTENCE * 2)
    rest(one)
    assert one._model
    learned = {"backspace": len("The ")}.get(event, 0)
    assert len(one._model.memory) == learned


@pytest.mark.parametrize("n_slices", range(9))
def test_what_waits_when_learning_pauses_is_dropped(n_slices: int) -> None:
    """A text and a word, and the half of a text; told again afterwards it is learned whole."""
    one = engine(text="")
    one.remember(Remember(document="b", text=LINES))
    for _ in range(n_slices):
        one.work()
    type_text(one, "The ")
    one.is_paused = True
    n_before = n_learned(one)
    rest(one)
    assert n_learned(one) <= n_before
    type_text(one, "heron waited.", "The ")
    one.is_paused = False
    rest(one)
    ask(one, "The heron waited. ")
    rest(one)
    assert n_learned(one) <= n_before
    one.remember(Remember(document="b", text=LINES))
    rest(one)
    whole = len(LINES.rstrip("\n"))
    assert n_learned(one) in (whole, whole + len("The "))


def test_what_is_typed_without_a_request_while_learning_pauses_is_not_learned() -> None:
    """As where suggestions come only when asked for."""
    one = engine(text="")
    ask(one, "The ")
    one.is_paused = True
    one.is_paused = False
    ask(one, "The heron by ")
    rest(one)
    assert n_learned(one) == 0


def test_a_pause_ends_learning_within_an_answer() -> None:
    """Words that were typed before are learned at its beginning, one symbol at a time."""
    one = engine(text="")
    type_text(one, "The heron ")
    answering = one._answer(Complete(id=7, document="a", before="The heron w"), learn=True)
    next(answering)
    one.is_paused = True
    n_before = n_learned(one)
    assert n_before < len("The heron ")
    for _ in answering:
        pass
    rest(one)
    assert n_learned(one) == n_before


def test_an_accepted_suggestion_was_typed() -> None:
    """However long it is."""
    one = engine()
    assert one._model
    n_before = len(one._model.memory)
    (offered,) = texts(ask(one, "In spring, the river r"))
    ask(one, "In spring, the river r" + offered)
    ask(one, "In spring, the river r" + offered + ".")
    rest(one)
    assert len(one._model.memory) >= n_before + len(offered)


def test_open_documents_are_expected_until_they_are_closed() -> None:
    """In every document, and from the moment that there was time to read them."""
    one = engine(text="")
    one.remember(Remember(document="b", text=SENTENCE * 3))
    rest(one)
    assert goes_on(ask(one, "Once, the her"), "on waited by the weir.")
    one.close("b")
    rest(one)
    assert not texts(ask(one, "Then, the her"))


def test_a_typed_secret_is_neither_learned_nor_shown() -> None:
    """Not even in the same session."""
    one = engine(text="")
    line = f"api_key = '{SECRET}'\n"
    completed = type_text(one, line * 3 + "api_key = 'q8Z")
    assert texts(completed) == []
    assert one._model
    assert len(one._model.memory) <= 4 * len("api_key = ")


CARD = "4539 1488 0343 6467"
SECRETS = [
    ("My card is ", CARD),
    ("My card is ", CARD.replace(" ", "-")),
    ("Pay to ", "DE44 5001 0517 5407 3249 31"),
    ("export TOKEN ", "sk-ant-api03-Zq8vT1xL0pR7mN4kB2cD9fG6hJ3"),
    ("password: ", "Gr7-Wq2-Zt9-Vx4-Kp8"),
    ("See https://bob:", "Zq7vTx-Kp4mNb-92@example.com"),
    ("password = ", '"blorf quizzle 9 wumpet dranth"'),
    ("password:\n", "Gr7-Wq2-Zt9-Vx4-Kp8\n"),
]


def pieces_known(one: Engine, secret: str) -> list[str]:
    """Pieces of four characters that its memory holds."""
    assert one._model
    pieces = {secret[at : at + 4] for at in range(len(secret) - 3)}
    memory, encode = one._model.memory, BUNDLE.alphabet.encode
    return [piece for piece in sorted(pieces) if memory.holding(encode(piece))]


@pytest.mark.parametrize(("before", "secret"), SECRETS)
def test_pieces_of_a_secret_are_taken_back_when_it_is_seen_to_be_one(
    before: str, secret: str
) -> None:
    """Words of it were learned before that. What is typed on other lines is learned."""
    one = engine(text="")
    text = f"{SENTENCE}{before}{secret}"
    type_text(one, text)
    assert not pieces_known(one, secret)
    type_text(one, " and so on.\nWe met ", text)
    rest(one)
    assert not pieces_known(one, secret)
    assert pieces_known(one, "We met ")


@pytest.mark.parametrize("n_told", [4, 10, 15])
@pytest.mark.parametrize("n_slices", [0, 1, 2, 99])
def test_nor_is_the_beginning_known_that_was_told_in_a_pause(n_told: int, n_slices: int) -> None:
    """Half a number is none. The rest of what was told comes back with the next text."""
    one = engine(text="")
    text = f"{SENTENCE}My card is {CARD}"
    half = text[: len(text) - len(CARD) + n_told]
    type_text(one, half)
    one.remember(Remember(document="a", text=half))
    for _ in range(n_slices):
        one.work()
    type_text(one, text[len(half) :], half)
    rest(one)
    assert len(pieces_known(one, CARD)) <= (1 if n_told < 8 else 0)
    one.remember(Remember(document="a", text=text))
    rest(one)
    assert not pieces_known(one, CARD)
    assert pieces_known(one, SENTENCE)


def test_what_was_typed_long_before_a_secret_stays() -> None:
    """Only the last lines are taken back."""
    one = engine(text="")
    lines = [f"{letter * 4} came.\n" for letter in "abcdefghij"]
    type_text(one, f"{''.join(lines)}My card is {CARD}")
    assert [bool(pieces_known(one, line[:4])) for line in lines] == [True] * 3 + [False] * 7


def test_a_secret_that_is_typed_in_two_goes_is_taken_back() -> None:
    """With another line in between."""
    one = engine(text="")
    before = f"{SENTENCE}My card is "
    type_text(one, CARD[:10], before)
    type_text(one, "The weir\nwas low. ", f"{before}{CARD[:10]}\n{SENTENCE * 3}")
    type_text(one, CARD[10:], before + CARD[:10])
    rest(one)
    assert not pieces_known(one, CARD)


# -- caches ------------------------------------------------------------------------------------

Move = tuple[str, Any]
WORDS = st.sampled_from(
    [
        "the ",
        "river ",
        "rose ",
        "r",
        "i",
        "v",
        " ",
        "\n",
        "boats.",
        "ri",
        "漢",
        "é",
        "\u200d",
        "x" * 40,
        "4539 1488 ",
        "0343 6467",
    ]
)
MOVES: st.SearchStrategy[Move] = st.one_of(
    st.tuples(st.just("type"), WORDS),
    st.tuples(st.just("type"), WORDS),
    st.tuples(st.just("accept"), st.integers(0, 2)),
    st.tuples(st.just("delete"), st.integers(1, 12)),
    st.tuples(st.just("jump"), st.integers(0, 400)),
    st.tuples(st.just("edit"), st.tuples(st.integers(0, 100), WORDS)),
    st.tuples(st.just("paste"), st.integers(0, 200)),
    st.tuples(st.just("anchor"), st.integers(0, 100)),
    st.tuples(st.just("document"), st.sampled_from("ab")),
    st.tuples(st.just("remember"), st.none()),
    st.tuples(st.just("close"), st.none()),
    st.tuples(st.just("rest"), st.none()),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("invoke"), st.none()),
    st.tuples(st.just("supersede"), st.none()),
    st.tuples(st.just("temperature"), st.sampled_from((0.0, 0.6))),
)


def play(one: Engine, moves: list[Move]) -> list[Any]:
    """What it says to each move of a user."""
    said: list[Any] = []
    documents = {"a": TEXT[:120], "b": "Another text, about the rain. "}
    cursors = {name: len(text) for name, text in documents.items()}
    anchors = dict.fromkeys(documents, 0)
    name, options, offered = "a", Options(min_probability=0.0), ""
    for move, detail in moves:
        text, at = documents[name], cursors[name]
        inserted, n_deleted, invoked = "", 0, False
        match move:
            case "type":
                inserted = detail
            case "accept":
                inserted = offered[: len(offered) >> detail]
            case "delete":
                n_deleted = min(detail, at)
            case "jump":
                cursors[name] = at = min(detail, len(text))
            case "edit":
                cursors[name] = at = min(detail[0], len(text))
                inserted = detail[1]
            case "paste":
                inserted = TEXT[detail : detail + 90]
            case "anchor":
                anchors[name] = detail
            case "document":
                name = detail
            case "remember":
                one.remember(Remember(document=name, text=text))
            case "close":
                one.close(name)
            case "rest":
                rest(one)
            case "pause":
                one.is_paused = detail
            case "invoke":
                invoked = True
            case "temperature":
                options = Options(min_probability=0.0, temperature=detail)
        text, at = documents[name], cursors[name]
        documents[name] = text[: at - n_deleted] + inserted + text[at:]
        cursors[name] = at = at - n_deleted + len(inserted)
        anchor = min(anchors[name], at)
        try:
            completed = ask(
                one,
                documents[name][anchor:at],
                lambda: move == "supersede",  # noqa: B023 (asked before the next one)
                document=name,
                path="notes/two.md",
                language="markdown",
                invoked=invoked,
                options=options,
            )
        except Superseded:
            said.append("superseded")
            continue
        offered = completed.items[0].text if completed.items else ""
        said.append(completed)
        said.append(one.why(name))
    return said


@given(st.lists(MOVES, max_size=14))
@settings(max_examples=15)
def test_caches_have_no_say(moves: list[Move]) -> None:
    """Two engines that hear the same say the same, one without anything kept."""
    assert play(engine(caching=False), moves) == play(engine(), moves)


def test_looking_ahead_changes_nothing_but_the_time() -> None:
    """Pauses between keys, or none."""
    hurried, patient = engine(), engine()
    sentence = "In spring the river rose by day, and we counted the boats."
    for n in range(len(sentence)):
        assert ask(hurried, sentence[:n]) == ask(patient, sentence[:n])
        rest(patient)


@pytest.mark.parametrize("keys", ["r", "b", "rb", "bo", "rr", "bb", "br", "x", "boats"])
def test_keys_that_came_together_find_their_own_answer(keys: str) -> None:
    """Not the one that was prepared for the first or the last of them."""
    before = "In spring, the river and the "
    cached, plain = engine(), engine(caching=False)
    for one in (cached, plain):
        ask(one, before)
        rest(one)
    assert ask(plain, before + keys) == ask(cached, before + keys)


def test_what_was_read_meanwhile_counts() -> None:
    """A document that was opened in the pause, against a suggestion that was there before."""
    before = "In spring, the river ro"
    cached, plain = engine(), engine(caching=False)
    for one in (cached, plain):
        ask(one, before)
        one.remember(Remember(document="b", text="In spring, the river roared at us.\n" * 30))
        rest(one)
    for key in "sa":
        assert ask(plain, before + key) == ask(cached, before + key)


def test_looking_ahead_ends_with_the_next_request() -> None:
    """Even with one that is given up before it has an answer."""
    before = TEXT[:100] + "In spring, the "
    cached, plain = engine(), engine(caching=False)
    for one in (cached, plain):
        looks = iter([False, True])
        ask(one, before)
        with pytest.raises(Superseded):
            ask(one, before[:-4] + "We counted\n" * 90, lambda looks=looks: next(looks))
        rest(one)
    for key in "rbn":
        assert ask(plain, before + key) == ask(cached, before + key)


def test_superseded_work_stops() -> None:
    """At the next look, and the next request is answered as if it had never been."""
    one, other = engine(), engine()
    looks = iter([False, True])
    with pytest.raises(Superseded):
        ask(one, "We counted the boats " * 90, lambda: next(looks))
    assert one.why("a")["reason"] == Reason.SUPERSEDED.value
    assert ask(one, "In spring, the river r") == ask(other, "In spring, the river r")


def test_superseded_work_takes_no_further_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the network, once it has been said that nobody waits."""
    n_steps, n_when_given_up = 0, -1
    step = NumpyStep.__call__

    def counting(*arguments: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        return step(*arguments)

    def superseded() -> bool:
        nonlocal n_when_given_up
        n_when_given_up = n_steps
        return n_steps > 50

    monkeypatch.setattr(NumpyStep, "__call__", counting)
    with pytest.raises(Superseded):
        ask(engine(), "We counted the boats " * 90, superseded)
    assert 50 < n_when_given_up == n_steps < 1000


def test_a_giant_text_costs_its_last_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is the rest of it encoded."""
    one = engine()
    lengths: list[int] = []
    encode = Alphabet.encode

    def measuring(alphabet: Alphabet, text: str) -> Any:
        lengths.append(len(text))
        return encode(alphabet, text)

    monkeypatch.setattr(Alphabet, "encode", measuring)
    assert goes_on(ask(one, TEXT * 600 + "In spring, the river r"), RIVER)
    assert 0 < max(lengths) < 5000


@pytest.mark.parametrize("character", ["x", "é", "漢", "\n"])
def test_a_paste_of_100_kilobytes(character: str) -> None:
    """Is answered, is not learned as typed, and is undone as if it had never been."""
    one, other = engine(), engine()
    assert one._model
    assert other._model
    before = "We counted the boats. In spring, the river r"
    for each in (one, other):
        ask(each, before)
    pasted = "".join(f"{character * 90} {n}\n" for n in range(1000))
    ask(one, before + pasted)
    rest(one)
    assert goes_on(ask(one, before + pasted + " In spring, the river r"), RIVER)
    assert ask(one, before + "o").items[0].text == ask(other, before + "o").items[0].text
    rest(one)
    assert len(one._model.memory) <= len(other._model.memory) + 40


def test_a_giant_text_is_primed_from_its_last_stretch() -> None:
    """A client that sends all it has is answered all the same, and the keys after it too."""
    one = engine()
    before = TEXT * 60 + "In spring, the river r"
    assert goes_on(ask(one, before), "ose in the night and fell by day.")
    for n in range(1, 4):
        assert texts(ask(one, before + "ose in"[:n])) == texts(ask(engine(), before + "ose in"[:n]))


def test_others_may_run_while_an_answer_is_made() -> None:
    """The event loop never waits for a whole text to be primed."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    async def run() -> None:
        ticking = asyncio.create_task(tick())
        request = Complete(id=1, document="a", before="We counted the boats.\n" * 55)
        await engine().complete(request, lambda: False)
        ticking.cancel()

    asyncio.run(run())
    assert ticks > 3


def test_requests_for_several_documents_take_turns() -> None:
    """Each is answered as if the others had come before it, or after."""
    requests = [
        Complete(id=number, document=str(number), before=f"{number}: In spring, the river r")
        for number in range(5)
    ]

    one = engine()
    alone = [asyncio.run(one.complete(request, lambda: False)) for request in requests]
    (answers,) = at_once(engine(), requests)
    assert {answer.id: texts(answer) for answer in answers} == {
        answer.id: texts(answer) for answer in alone
    }


def at_once(one: Engine, *rounds: list[Complete]) -> list[list[Completed]]:
    """The answers to requests that come at once, in the order in which they are given."""

    async def run() -> list[list[Completed]]:
        answers: list[list[Completed]] = []

        async def asking(request: Complete) -> None:
            answers[-1].append(await one.complete(request, lambda: False))

        for requests in rounds:
            answers.append([])
            await asyncio.gather(*map(asking, requests))
        return answers

    return asyncio.run(run())


def test_who_needs_little_does_not_wait_for_who_reads_much() -> None:
    """After a jump there are thousands of steps; others wait for a few of them."""
    requests = [
        Complete(id=number, document=str(number), before=before)
        for number, before in enumerate([TEXT[:1500], TEXT[100:1500], "The ri", "In spr"])
    ]
    (answers,) = at_once(engine(), requests)
    assert {answer.id for answer in answers[:2]} == {2, 3}


@pytest.mark.parametrize(
    "befores",
    [
        (TEXT[:1500], TEXT[:700], TEXT[:1400] + "In spring, the river r"),
        (TEXT[:1500], "", TEXT[:60], TEXT[:1470]),
        (TEXT[:40], TEXT[:1500], TEXT[:1500]),
        ("One " + TEXT[:1500], "One b", "One " + TEXT[:30]),
    ],
)
def test_who_reads_the_same_at_once_is_not_led_astray(befores: tuple[str, ...]) -> None:
    """By those who go on elsewhere, or not as far."""
    requests = [
        Complete(id=number, document=str(number), before=text, options=Options(min_probability=0))
        for number, text in enumerate(befores)
    ]
    alone = [asyncio.run(engine().complete(request, lambda: False)) for request in requests]
    for answers in at_once(engine(), requests, requests):
        for answer in answers:
            assert texts(answer) == texts(alone[answer.id])


def test_words_that_are_typed_in_two_places_at_once_are_both_learned() -> None:
    """Though one of them waits for its place to be read anew."""
    one = engine(text="")
    assert one._model
    long = LINES[:1900]
    ask(one, long, document="a")
    ask(one, "", document="b")
    ask(one, long + "heron", document="a")
    one._model.states.forget("a")
    (answers,) = at_once(
        one,
        [
            Complete(id=4, document="a", before=long + "heron "),
            Complete(id=5, document="b", before="weir "),
        ],
    )
    assert [answer.id for answer in answers] == [5, 4]
    rest(one)
    assert n_learned(one) == len("heron ") + len("weir ")


@given(before=st.text(max_size=60), after=st.text(max_size=20), invoked=st.booleans())
@settings(max_examples=20)
def test_any_text_is_answered(before: str, after: str, invoked: bool) -> None:
    """In any script, with what can be sent and inserted."""
    text = before.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    one = engine(text=text * 5)
    completed = ask(one, text, after=after, invoked=invoked, options=Options(min_probability=0.0))
    rest(one)
    for item in completed.items:
        assert len(item.text.encode()) >= 2
        assert 0 <= item.replaces <= len(after)
    assert bool(completed.items) != bool(completed.reason)


# -- what is kept ------------------------------------------------------------------------------


def test_a_closed_document_leaves_nothing_behind() -> None:
    """Neither states nor rollouts, which have its text in them."""
    one = engine()
    empty = one.memory_by_part()
    ask(one, "In spring, the river r")
    rest(one)
    assert one.memory_by_part()["states"] > 0
    one.close("a")
    rest(one)
    assert one.memory_by_part() == empty


def test_typing_alone_makes_room_in_a_full_memory() -> None:
    """In what time there is, before anybody has to wait for it."""
    memory = Memory(BUNDLE.alphabet, at_most_bytes=FEWEST_BYTES)
    text = np.random.default_rng(1).integers(97, 123, 120_000).astype(np.uint16)
    for number, part in enumerate(text.reshape(60, -1)):
        memory.learn(str(number), part)
    while memory.has_room():
        memory.learn(f"more {len(memory)}", text[: len(memory) % 500 + 200])
    remembered = Remembered(memory=memory, mixer=Mixer.default())
    rest(Engine(BUNDLE, Settings(), remembered=remembered))
    assert memory.has_room()


def test_memory_is_bounded() -> None:
    """Whatever is typed, in however many documents."""
    one = engine()
    for number in range(20):
        ask(one, f"{number} {TEXT[:100]}", document=str(number))
        one.remember(Remember(document=str(number), text=TEXT))
        rest(one)
    parts = one.memory_by_part()
    assert parts["states"] <= 8 << 20
    assert parts["memory"] <= 16 << 20
    assert parts["rollouts"] <= 16 * 6 * 10_000
    assert set(parts) == {"network", "states", "rollouts", "memory", "mixer"}


def test_another_model_answers_from_the_next_request_on() -> None:
    """With the memory that there was."""
    one = engine()
    ask(one, "In spring, the river r")
    one.swap(replace(BUNDLE, id="you-2"))
    completed = ask(one, "In spring, the river r")
    assert completed.model == "you-2"
    assert goes_on(completed, "ose in the night and fell by day.")


@pytest.mark.parametrize(("n_accepted", "is_shown"), [(0, False), (300, True)])
def test_the_gate_learns_what_is_accepted(n_accepted: int, is_shown: bool) -> None:
    """What is never taken is not offered any more, and what always is, sooner."""
    before = "In spring, the river r"
    short = Settings(max_characters=2)  # or there would be less of it rather than nothing
    probability = ask(engine(settings=short), before).items[0].probability
    tally = Tally()
    for i in range(300):
        tally.offered(str(i), probability)
        tally.count(str(i), "accepted" if i < n_accepted else "rejected")
    asked = probability + ((1 - probability) / 2 if is_shown else -0.02)
    short = replace(short, eagerness=asked)
    for one, expected in (
        (engine(settings=short), not is_shown),
        (engine(settings=short, tally=tally), is_shown),
        (engine(settings=replace(short, stats=False), tally=tally), not is_shown),
    ):
        completed = ask(one, before)
        assert bool(completed.items) is expected
        assert completed.reason == ("" if expected else Reason.UNSURE.value)


def test_counts_are_stored_where_nobody_waits(tmp_path: Path) -> None:
    """By whoever calls `work`, which never waits for a disk."""
    path = tmp_path / "tally.json"
    times = iter(range(0, 10_000, 61))
    one = engine(tally=Tally(path, clock=lambda: next(times)))
    shown = ask(one, "In spring, the river r").items[0]
    one.outcome(Outcome(suggestion=shown.id, event="shown"))
    store = one.counts_due()
    assert store
    rest(one)
    assert not path.exists()
    store()
    assert Tally(path).facts()["total"]["shown"] == 1


def test_outcomes_are_counted(tmp_path: Path) -> None:
    """By the id of a suggestion, which stays while it is typed along; stored without text."""
    path = tmp_path / "tally.json"
    one = engine(tally=Tally(path))
    first = ask(one, "In spring, the river r").items[0]
    one.outcome(Outcome(suggestion=first.id, event="shown"))
    second = ask(one, "In spring, the river r" + first.text[0]).items[0]
    assert (second.id == first.id) == (second.text == first.text[1:])
    one.outcome(Outcome(suggestion=second.id, event="accepted", characters=len(second.text)))
    one.finish()
    total = one.stats()["total"]
    assert (total["accepted"], total["characters"]) == (1, len(second.text))
    assert "river" not in path.read_text()
    one.clear_stats()
    assert one.stats()["total"]["shown"] == 0


def test_nothing_is_counted_where_that_is_switched_off() -> None:
    """Counting is the user's to allow."""
    one = engine()
    one.settings = replace(one.settings, stats=False)
    offered = ask(one, "In spring, the river r").items[0]
    one.outcome(Outcome(suggestion=offered.id, event="accepted", characters=5))
    assert one.stats()["total"]["shown"] == 0
