"""Whether a new model may take the place of the one in use: both measured exactly as they serve.

That is, each in the mix with a memory of the same documents, on the user's own newest text that
neither was trained on: what it costs in bits, and the keystrokes it saves. A network that got
better by itself can make the mix worse, where the memory knows the same text better; so only the
mix is asked. Knows bundles, documents and figures; publishes nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afterword_trainer import experts, measures
from afterword_trainer.evaluation import Expert
from afterword_trainer.ledger import Measured
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.predictor import Symbols, prime
from afterword_trainer.model.step import open_predictor
from afterword_trainer.model.suggestion import Policy
from afterword_trainer.scores import Bits
from afterword_trainer.stream import Document, Piece
from afterword_trainer.typist import Ghost, Keystrokes, keystrokes, offers_along

Tick = Callable[[], object]

# A block is long enough for a few words to be offered in it, and short enough for a kilobyte of
# text to be ten of them: their differences tell how far chance alone could lead.
BLOCK_CHARACTERS = 100
# Standard errors. Five of a hundred models that are no better pass the first; of those that are no
# worse, one of a hundred fails the second: keystrokes are counted on less text than bits are.
SURE = 1.64
SURE_OF_LOSS = 2.33
MOST_KSR_LOST = 2.0  # percent, whatever chance could explain: losses add up
# Half a keystroke to one in a hundred, on letters and notes: nobody feels it while typing.
UNNOTICED_BITS = 0.03  # per character
# Three passes over verse, far from all that the base has read, cost its own text 0.6 bits.
MOST_BASE_BITS_LOST = 1.0
LEAST_CHARACTERS = 500  # of held-out text; less says nothing
# That are measured in any hurry, where there are as many. A person's model that had gained 0.034
# bits was refused on 2,000, where chance could make 0.065; on four times as many it makes half.
HURRIED_CHARACTERS = 8_000
STEPS_PER_OFFER = 7  # of the mix, for a character typed at one degree of eagerness, about
# Prose, a letter, Markdown, code: after all of them only a broken model expects the same.
PROMPTS = ("The", "Dear ", "# ", "def f(", "and then we went to the ")
LEAST_DIFFERENCE = 1e-4  # of a probability, between prompts; rounding alone makes less


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured: half a minute for two models of 2 x 512."""

    bits_characters: int = 20_000  # 0.2 ms each
    keystroke_characters: int = 8_000  # 1 ms each
    base_characters: int = 10_000  # 0.05 ms each, since the network alone is asked

    @property
    def characters(self) -> int:
        """All that is measured of one model, at most."""
        return self.bits_characters + self.keystroke_characters + self.base_characters

    @classmethod
    def within(cls, budget_s: float, step_s: float) -> "Sizes":
        """As much as `budget_s` seconds allow when a step of the mix takes `step_s`.

        At least what a comparison needs to mean something, even if there is no time: minutes are
        promised to a person who asked for this model, and who would rather wait for some seconds
        than have it refused by chance. The least takes 30,000 steps of a mix: 6 seconds where a
        step takes 0.2 ms, 18 on a machine so busy that it takes 0.6.
        """
        most = cls()
        # Two models; twice as many characters are read as are typed, a step each.
        n_typed = max(1_000, int(budget_s / step_s / 2 / (STEPS_PER_OFFER + 2)))
        return cls(
            bits_characters=min(max(2 * n_typed, HURRIED_CHARACTERS), most.bits_characters),
            keystroke_characters=min(n_typed, most.keystroke_characters),
            base_characters=min(2 * n_typed, most.base_characters),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """A model as it serves, block by block, so that two can be compared in pairs."""

    bits: NDArray[np.float64]  # per character, (blocks,)
    sizes: NDArray[np.float64]  # characters of those blocks, (blocks,)
    keys: NDArray[np.float64]  # keystrokes saved, percent of the characters, (other blocks,)
    key_sizes: NDArray[np.float64]  # characters of those, (other blocks,)
    base_bits: float | None  # per character of the base model's own test text, the network alone

    def measured(self) -> Measured:
        """What the ledger is told."""
        if not len(self.sizes):
            return Measured(base_bits_per_character=self.base_bits)
        return Measured(
            bits_per_character=float(np.average(self.bits, weights=self.sizes)),
            ksr=float(np.average(self.keys, weights=self.key_sizes)),
            base_bits_per_character=self.base_bits,
        )


Reason = Literal["weights", "constant", "audit", "text", "bits", "keystrokes", "base"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says, and why."""

    accepted: bool
    sentence: str  # for people
    reasons: tuple[Reason, ...] = ()  # why not
    before: Measured | None = None  # the model in use
    after: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure(
    bundle: Bundle,
    mix: Expert,
    test: Sequence[Document],
    base_test: Sequence[Document],
    sizes: Sizes,
    tick: Tick = lambda: None,
) -> Figures:
    """Measure `bundle` on the newest of `test`, which comes oldest first.

    `mix` is the model as it serves (`experts.of_bundle`), with a memory that holds nothing of it.
    """
    alphabet = bundle.alphabet
    bits: list[Bits] = []
    reader = mix.make()
    for document in _newest(test, sizes.bits_characters):
        header = _header(alphabet, document)
        for block in _blocks(document.text):
            bits.append(measures.bits_per_character(reader, alphabet, block, header, tick))
            header = header[:0]  # the blocks of a document follow one another

    typed: list[Keystrokes] = []
    ghost = Ghost(mix.make(), alphabet, Policy())
    for document in _newest(test, sizes.keystroke_characters):
        offered = offers_along(ghost, document.text, _header(alphabet, document), tick)
        offers = [offer.text if offer else None for offer in offered]
        at = 0
        for block in _blocks(document.text):
            typed.append(keystrokes(block, offers[at : at + len(block)]))
            at += len(block)
    return Figures(
        bits=np.array([found.per_character for found in bits]),
        sizes=np.array([found.characters for found in bits], float),
        keys=np.array([found.ksr for found in typed]),
        key_sizes=np.array([found.characters for found in typed], float),
        base_bits=network_bits(bundle, base_test, sizes.base_characters, tick),
    )


def network_bits(
    bundle: Bundle, documents: Iterable[Document], n_characters: int, tick: Tick = lambda: None
) -> float | None:
    """Per character of the beginning of `documents`, by the network; None if there are none."""
    network, total = open_predictor(bundle), Bits()
    pages = measures.beginning(measures.pages(documents, bundle.alphabet), n_characters)
    for header, text in pages:
        total += measures.bits_per_character(network, bundle.alphabet, text, header, tick)
    return total.per_character if total.characters else None


def judge(
    candidate: Figures,
    incumbent: Figures,
    *,
    base_bits: float | None = None,
    problems: Mapping[Reason, str] | None = None,
    asked: bool = False,
    remembered: bool = True,
) -> Verdict:
    """Whether the candidate is better: the burden of proof is on it.

    Its bits have to be fewer by more than chance explains; the keystrokes it saves may not be
    fewer by more than chance explains, nor by `MOST_KSR_LOST`; and the base model's own text, which
    costs `base_bits` under that, may cost `MOST_BASE_BITS_LOST` more. Both were measured on the
    same blocks. `problems` are what was found by other means, a clause each; `remembered` says
    whether the memory that both were measured with holds the user's files.

    `asked`: a person wants this model, sat through its making, and would have waited for nothing.
    Then it need not be better, if it is certain that it is not noticeably worse: the loss in bits
    that chance cannot exclude has to be below `UNNOTICED_BITS` (a test of non-inferiority; as in
    Piaggio et al. 2012). And if it is surely better at what the person writes, it may have
    forgotten how others do: ten minutes of one novel gained 0.18 bits, and cost the base's own text
    1.3. For what replaces models unasked, night after night, ties do not count:
    small losses would add up. With little text to measure on, chance can hide much, and both
    refuse: of 10 KB that were learned, the network got worse by 0.039 bits and no 1 KB showed it.
    """
    before, after = incumbent.measured(), candidate.measured()
    against = dict(problems or {})
    n_characters = int(candidate.sizes.sum())
    if n_characters < LEAST_CHARACTERS:
        against["text"] = (
            f"{n_characters} characters of text to measure it on are too few, "
            f"{LEAST_CHARACTERS} are the least"
        )

    # Written so that what is not a number never passes.
    gained, error = _mean(incumbent.bits - candidate.bits, candidate.sizes)
    doubt = SURE * error
    bits = _beside(after.bits_per_character, before.bits_per_character, ".3f")
    is_better = gained > doubt
    if not (is_better or (asked and gained > doubt - UNNOTICED_BITS)):
        against["bits"] = f"{bits} bits per character, where chance alone can make {doubt:.3f}"
        if asked and 0 < gained < doubt < math.inf:
            against["bits"] += f", so it may be worse by {doubt - gained:.3f}"
    lost, error = _mean(incumbent.keys - candidate.keys, candidate.key_sizes)
    keys = _beside(after.ksr, before.ksr, ".1f")
    if not lost <= min(SURE_OF_LOSS * error, MOST_KSR_LOST):
        against["keystrokes"] = f"{keys} % of keystrokes saved"
    if base_bits is not None and candidate.base_bits is not None:
        # Once there, it may stay there: a language that the base does not know lies beyond.
        most = max(base_bits + MOST_BASE_BITS_LOST, (incumbent.base_bits or 0.0) + 0.1)
        is_worth_it = asked and is_better and math.isfinite(candidate.base_bits)
        if not (candidate.base_bits <= most or is_worth_it):
            against["base"] = (
                f"it has forgotten how others write ({candidate.base_bits:.2f} bits per character "
                f"on the base model's own text instead of {base_bits:.2f})"
            )
    measured = f"on the {n_characters:,} characters you wrote last"
    if not remembered:
        measured += ", with none of your files in the memory"
    if against:
        if is_better and against.keys().isdisjoint(("keystrokes", "text")):
            how = "not put to use, though better"
        else:
            # Better by its figure, and nothing against it but that this text cannot show it.
            is_unsure = 0 < gained < math.inf and against.keys() <= {"bits", "text"}
            how = f"{'not surely' if is_unsure else 'no'} better than the one in use"
        sentence = f"{how} {measured}: {'; '.join(against.values())}"
    else:
        sentence = (
            f"{'better than' if is_better else 'as good as'} before {measured}: "
            f"{bits} bits per character, {keys} % of keystrokes saved"
        )
        if lost > 0:
            sentence += ", which may be chance"
    return Verdict(
        accepted=not against,
        sentence=sentence,
        reasons=tuple(against),
        before=before,
        after=after,
    )


def refused(problems: Mapping[Reason, str]) -> Verdict:
    """The verdict where nothing was measured."""
    sentence = f"not put to use: {'; '.join(problems.values())}"
    return Verdict(accepted=False, sentence=sentence, reasons=tuple(problems))


def faults(bundle: Bundle) -> dict[Reason, str]:
    """What is wrong with a model whatever it is measured on: a clause for each kind of fault.

    That its weights are numbers, and not too large, is seen to where a bundle is made.
    """
    network = open_predictor(bundle)
    expected = []
    for prompt in PROMPTS:
        writer = network.fork()
        prime(writer, bundle.alphabet.encode(prompt))
        expected.append(writer.distribution().copy())
    if not np.isfinite(expected).all():
        return {"weights": "what it expects is no number"}
    if not np.ptp(expected, axis=0).max() > LEAST_DIFFERENCE:
        return {"constant": "it expects the same whatever was written"}
    return {}


def _beside(new: float | None, old: float | None, form: str) -> str:
    return f"{new or 0.0:{form}} instead of {old or 0.0:{form}}"


def _mean(values: NDArray[np.float64], sizes: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of paired differences, and its standard error."""
    if len(values) < 2:
        return float(values.sum()), math.inf
    mean = float(np.average(values, weights=sizes))
    share = sizes / sizes.sum()
    # The standard error of a weighted mean of independent blocks (Cochran 1977, ratio estimate).
    error = math.sqrt(
        float(np.sum((share * (values - mean)) ** 2)) * len(values) / (len(values) - 1)
    )
    return mean, error


def _newest(test: Sequence[Document], n_characters: int) -> list[Document]:
    """The last `n_characters` of the test text; the first document may lose its beginning."""
    kept = experts.newest(test, n_characters)
    too_many = sum(len(document.text) for document in kept) - n_characters
    if kept and too_many > 0:
        first = kept[0]
        kept[0] = Piece(
            path=first.path,
            language=first.language,
            modified=first.modified,
            text=first.text[too_many:],
        )
    return kept


def _blocks(text: str) -> Iterator[str]:
    for at in range(0, len(text), BLOCK_CHARACTERS):
        yield text[at : at + BLOCK_CHARACTERS]


def _header(alphabet: Alphabet, document: Document) -> Symbols:
    return alphabet.header(document.path, document.language, document.modified)
