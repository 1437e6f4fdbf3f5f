"""What the memory is worth while it is small: whether words of one's own are finished.

    .venv/bin/python benchmarks/first_words.py FILE-OR-FOLDER... [--held 1000 10000 100000]

The base model, with a memory that holds the first so many characters of a text, is given what
follows. A word of one's own is one of six letters or more that was there before, and that the base
alone gives less than one chance in a thousand where it stands. It is finished after so many letters
if from there on each letter is the likeliest one. Bits are those of all the text, and keystrokes
those of the simulated user; memory and mixer go on learning.
"""

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from afterword_trainer import base
from afterword_trainer.language import language_of
from afterword_trainer.measures import Page, Trial, typed_with
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.step import NetworkPredictor, open_predictor
from afterword_trainer.model.suggestion import Policy
from afterword_trainer.paths import Paths
from quality import LETTERS, Note, cut, read
from stopwatch import finish, say

LETTERS_TYPED = (2, 3, 4)
FEWEST_LETTERS = 6  # of shorter words nothing is left to finish
OWN_BITS = 10.0  # that a word costs the base: one chance in a thousand
WORD = re.compile(r"[^\W\d_]+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", nargs="*", type=Path, default=[LETTERS], help="files or folders")
    parser.add_argument("--held", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--characters", type=int, default=10_000, help="to type after those")
    options = parser.parse_args()

    bundle = base.load(Paths.from_environment().base)
    network = open_predictor(bundle)
    found = []
    for text in options.texts:
        notes = [replace(n, text=n.text.replace("\r\n", "\n")) for n in read(text, None)]
        for held in options.held:
            learned, rest = cut(notes, held)
            typed, _ = cut(rest, options.characters)
            row = measured(bundle, network, learned, typed)
            finished = " ".join(f"{share:.0f}" for share in row.finished)
            say(
                f"{text.name}, {held} characters held: {row.n_words} words of one's own, {finished}"
                f" % finished after {LETTERS_TYPED} letters; {row.bits_per_character:.3f} bits, "
                f"{row.ksr:.1f} % of the keys saved, {row.acceptance:.0f} % accepted"
            )
            found.append({"text": text.name, "held": held, **asdict(row)})
    finish("first words", {"rows": found})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text on one memory."""

    n_words: int  # of one's own, each as often as it came
    finished: tuple[float, ...]  # in percent of those, after LETTERS_TYPED
    bits_per_character: float
    ksr: float
    acceptance: float


def measured(
    bundle: Bundle, network: NetworkPredictor, learned: Sequence[Note], typed: Sequence[Note]
) -> Row:
    """What becomes of `typed` where the memory holds `learned`."""
    alphabet = bundle.alphabet

    def mix() -> Mix:
        memory = Memory(alphabet)
        for number, note in enumerate(learned):
            memory.learn(f"{number} {note.path}", alphabet.encode(note.text))
        return Mix(network.fork(), memory, Mixer.default(), learning=True)

    pages = [
        Page(alphabet.header(note.path, language_of(note.path), note.modified), note.text)
        for note in typed
    ]
    seen = Counter(word for note in learned for word in WORD.findall(note.text))
    expects, alone = mix(), network.fork()
    n_words, n_finished, bits = 0, np.zeros(len(LETTERS_TYPED)), 0.0
    for page in pages:
        right, costs, costs_alone = read_along(expects, alone, alphabet, page)
        bits += sum(costs)
        for word in WORD.finditer(page.text):
            begin, end = word.span()
            is_own = seen[word.group()] and sum(costs_alone[begin:end]) > OWN_BITS
            if is_own and end - begin >= FEWEST_LETTERS:
                n_words += 1
                n_finished += [all(right[begin + n : end]) for n in LETTERS_TYPED]
            seen[word.group()] += 1
    trial = Trial(alphabet=alphabet, policy=Policy(), for_bits=pages, for_keys=pages, n_words=0)
    (keys,) = typed_with(mix(), trial, (Policy().min_probability,)).by_degree
    return Row(
        n_words=n_words,
        finished=tuple((100 * n_finished / max(n_words, 1)).tolist()),
        bits_per_character=bits / trial.bits_characters,
        ksr=keys.ksr,
        acceptance=keys.acceptance,
    )


def read_along(
    mix: Mix, alone: NetworkPredictor, alphabet: Alphabet, page: Page
) -> tuple[list[bool], list[float], list[float]]:
    """Of each character: was it the likeliest, its bits, and its bits by the network alone."""
    prime(mix, page.header)
    prime(alone, page.header)
    right, costs, costs_alone = [], [], []
    for character in page.text:
        is_right, cost, cost_alone = True, 0.0, 0.0
        for symbol in alphabet.encode(character).tolist():
            p, q = mix.distribution(), alone.distribution()
            is_right &= int(p.argmax()) == symbol
            cost -= float(np.log2(max(p[symbol], 2.0**-30)))
            cost_alone -= float(np.log2(max(q[symbol], 2.0**-30)))
            mix.observe(symbol)
            alone.observe(symbol)
        right.append(is_right)
        costs.append(cost)
        costs_alone.append(cost_alone)
    return right, costs, costs_alone


if __name__ == "__main__":
    main()
