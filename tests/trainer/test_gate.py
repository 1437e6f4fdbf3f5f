"""Which models may take the place of the one in use: by figures, and as they really serve."""

from dataclasses import replace
from typing import Any

import bases
import numpy as np
import pytest
from afterword_trainer import experts, gate
from afterword_trainer.gate import Figures, Sizes, judge
from afterword_trainer.stream import Piece


def figures(
    bits: Any = 1.9, keys: Any = 40.0, base_bits: float | None = 1.7, n: int = 60
) -> Figures:
    """A model of so many bits and keystrokes saved in every block, or in each of them."""
    return Figures(
        bits=np.broadcast_to(np.asarray(bits, float), (n,)),
        sizes=np.full(n, 100.0),
        keys=np.broadcast_to(np.asarray(keys, float), (n,)),
        key_sizes=np.full(n, 100.0),
        base_bits=base_bits,
    )


NOISE = np.random.default_rng(0).normal(size=60)
NOISE -= NOISE.mean()


@pytest.mark.parametrize(
    ("candidate", "reasons"),
    [
        # better in bits, and no worse in keys
        (figures(bits=1.8), ()),
        (figures(bits=1.8, keys=41.0), ()),
        (figures(bits=1.85 + 0.1 * NOISE), ()),  # five hundredths, give or take two
        # better, but chance alone makes as much
        (figures(bits=1.89 + 0.1 * NOISE), ("bits",)),
        # the same, or worse
        (figures(), ("bits",)),
        (figures(bits=2.0), ("bits",)),
        (figures(bits=1.8, keys=39.5), ("keystrokes",)),
        (figures(bits=1.8, keys=39.5 + 10 * NOISE), ()),  # half a key: chance makes two
        (figures(bits=1.8, keys=37.0 + 20 * NOISE), ("keystrokes",)),  # however chance plays
        (figures(bits=2.0, keys=30.0), ("bits", "keystrokes")),
        # what others write is forgotten
        (figures(bits=1.8, base_bits=2.5), ()),
        (figures(bits=1.8, base_bits=2.9), ("base",)),
        (figures(bits=1.8, base_bits=None), ()),
        # what is no number never passes
        (figures(bits=np.nan), ("bits",)),
        (figures(bits=-np.inf), ("bits",)),
        (figures(bits=1.8, keys=np.nan), ("keystrokes",)),
        (figures(bits=1.8, base_bits=np.nan), ("base",)),
        # too little to tell
        (figures(bits=1.0, n=4), ("text",)),
        (figures(bits=1.0, n=0), ("text", "bits")),
    ],
)
def test_only_what_is_better_passes(candidate: Figures, reasons: tuple[str, ...]) -> None:
    """And a sentence says why, with both figures in it."""
    incumbent = figures(n=len(candidate.bits))
    with np.errstate(invalid="ignore"):
        verdict = judge(candidate, incumbent, base_bits=1.7)
    assert (verdict.reasons, verdict.accepted) == (reasons, not reasons)
    if verdict.accepted:
        assert verdict.sentence.startswith("better than before on the ")
        assert "1.900" in verdict.sentence
    else:
        gained = np.average(incumbent.bits - candidate.bits) if len(candidate.bits) else 0.0
        is_unsure = 0 < gained < np.inf and {*reasons} <= {"bits", "text"}
        how = f"{'not surely' if is_unsure else 'no'} better than the one in use"
        if reasons == ("base",):
            how = "not put to use, though better"
        assert verdict.sentence.startswith(f"{how} on the ")


@pytest.mark.parametrize(
    ("candidate", "asked", "accepted"),
    [
        # as good, as far as chance lets one see: a person gets what was asked for
        (figures(bits=1.9), True, True),
        (figures(bits=1.9), False, False),
        (figures(bits=1.899 + 0.05 * NOISE), True, True),
        (figures(bits=1.91 + 0.05 * NOISE), True, True),  # worse by less than anybody notices
        # it may be worse by more than that
        (figures(bits=1.9 + 0.2 * NOISE), True, False),
        (figures(bits=1.93), True, False),
        (figures(bits=2.0), True, False),
        # whoever asks: what is worse by other measures, or cannot be measured, is refused
        (figures(bits=1.9, keys=39.5), True, False),
        (figures(bits=1.9, base_bits=2.9), True, False),
        (figures(bits=1.8, base_bits=np.nan), True, False),
        (figures(bits=np.nan), True, False),
        (figures(bits=1.0, n=4), True, False),
    ],
)
def test_who_asks_gets_what_is_not_noticeably_worse(
    candidate: Figures, asked: bool, accepted: bool
) -> None:
    """It need not be better then; the sentence does not say that it is."""
    verdict = judge(candidate, figures(n=len(candidate.bits)), base_bits=1.7, asked=asked)
    assert verdict.accepted is accepted
    assert not accepted or verdict.sentence.startswith("as good as before on the ")


def test_a_person_may_have_a_model_that_knows_nothing_but_their_book() -> None:
    """It is surely better at what they write; how others do it has forgotten. Unasked it stays."""
    candidate = figures(bits=1.72, keys=42.0, base_bits=2.9)
    verdict = judge(candidate, figures(), base_bits=1.6, asked=True)
    assert verdict.accepted
    assert verdict.sentence.startswith("better than before on the ")
    assert judge(candidate, figures(), base_bits=1.6).reasons == ("base",)


@pytest.mark.parametrize(
    ("candidate", "asked", "told"),
    [
        # it gained 0.030, where chance can make 0.078
        (figures(bits=1.87 + 0.4 * NOISE), True, "not surely better than the one in use on the "),
        (figures(bits=1.87 + 0.4 * NOISE), True, ", so it may be worse by 0.0"),
        (figures(bits=1.87 + 0.4 * NOISE), False, "not surely better than the one in use on the "),
        (figures(bits=1.91 + 0.4 * NOISE), True, "no better than the one in use on the "),
    ],
)
def test_what_is_better_by_its_figure_is_not_called_no_better(
    candidate: Figures, asked: bool, told: str
) -> None:
    """It is refused, since chance may have made it; the sentence says that, and no more."""
    verdict = judge(candidate, figures(), asked=asked)
    assert verdict.reasons == ("bits",)
    assert told in verdict.sentence


@pytest.mark.parametrize(
    ("budget_s", "step_s", "sizes"),
    [
        (60.0, 0.0002, Sizes()),
        (
            0.5,
            0.002,
            Sizes(bits_characters=8_000, keystroke_characters=1_000, base_characters=2_000),
        ),
        (
            -9.0,
            0.002,
            Sizes(bits_characters=8_000, keystroke_characters=1_000, base_characters=2_000),
        ),
        (18.0, 0.0002, Sizes(bits_characters=10_000, keystroke_characters=5_000)),
    ],
)
def test_a_hurry_leaves_enough_to_be_sure(budget_s: float, step_s: float, sizes: Sizes) -> None:
    """However busy the machine, chance alone does not decide about what a person asked for."""
    assert Sizes.within(budget_s, step_s) == sizes


def test_what_the_memory_held_is_told() -> None:
    """Else the figures seem to contradict those of a table where it held everything."""
    told = [judge(figures(), figures(), remembered=each).sentence for each in (True, False)]
    assert ["none of your files in the memory" in sentence for sentence in told] == [False, True]


def test_a_language_that_the_base_does_not_know_can_be_learned_on() -> None:
    """Who is beyond the bound already may stay there, and go no further."""
    incumbent = figures(base_bits=4.0)
    kept, lost = (figures(bits=1.8, base_bits=bits) for bits in (4.05, 4.2))
    assert judge(kept, incumbent, base_bits=1.7).accepted
    assert judge(lost, incumbent, base_bits=1.7).reasons == ("base",)


def test_problems_found_by_other_means_count() -> None:
    """The best figures do not outweigh them."""
    verdict = judge(figures(bits=1.0), figures(), problems={"audit": "it knows a password"})
    assert verdict.reasons == ("audit",)
    assert "it knows a password" in verdict.sentence


# -- as they serve -----------------------------------------------------------------------------

TEXT = "".join(f"On day {n} we went to the river and counted {n} boats.\n" for n in range(40))
DOCUMENT = Piece(path="notes/a.md", language="markdown", modified=0.0, text=TEXT)
SMALL = Sizes(bits_characters=600, keystroke_characters=600, base_characters=100)


def measured(bundle: Any, known: list[Piece]) -> Figures:
    """A model with a memory of `known`, on the end of the notes."""
    mix = experts.of_bundle(bundle, known)[0]
    return gate.measure(bundle, mix, [DOCUMENT], [DOCUMENT], SMALL)


def test_the_memory_is_part_of_what_is_measured() -> None:
    """The same network with a memory of the same kind of text needs far fewer bits."""
    alone = measured(bases.bundle(), [])
    remembering = measured(bases.bundle(), [replace(DOCUMENT, text=TEXT[:1500])])
    assert alone.sizes.tolist() == [100.0] * 6
    assert np.average(remembering.bits) < np.average(alone.bits)
    assert remembering.measured().ksr > alone.measured().ksr
    assert judge(alone, remembering).reasons == ("bits", "keystrokes")


def test_a_model_is_no_better_than_itself() -> None:
    """Twice the same figures, and no reason to take the one for the other."""
    twice = [measured(bases.bundle(), [DOCUMENT]) for _ in range(2)]
    assert (twice[0].bits == twice[1].bits).all()
    assert judge(*twice).reasons == ("bits",)


def test_a_network_that_listens_to_nothing_is_found_out() -> None:
    """Weights that are all zero are finite, and worth nothing."""
    sound = bases.bundle()
    deaf = replace(sound, weights={name: 0 * weight for name, weight in sound.weights.items()})
    assert gate.faults(sound) == {}
    assert list(gate.faults(deaf)) == ["constant"]


def test_the_newest_text_is_what_counts() -> None:
    """Of more than is measured, the end; the first document may lose its beginning."""
    documents = [replace(DOCUMENT, text=letter * 400) for letter in "abc"]
    kept = gate._newest(documents, 600)
    assert ["".join(sorted({*piece.text})) for piece in kept] == ["b", "c"]
    assert [len(piece.text) for piece in kept] == [200, 400]
