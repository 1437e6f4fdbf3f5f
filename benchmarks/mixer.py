"""Teach the mixer that is shipped, and say what it gains.

    .venv/bin/python benchmarks/mixer.py FOLDER... [--learned FOLDER] [--alone] [--from-shipped]
    .venv/bin/python benchmarks/mixer.py FOLDER... --held 1000 4000 16000 100000 --characters 6000
    .venv/bin/python benchmarks/mixer.py FOLDER... --times 20 [--flat] --from-shipped

Reads the texts of the folders, oldest first, as a user would write them: a memory learns every
symbol as it comes, and the mixer beside it; then the same once more with what the mixer has
learned, which is the gain. The memory is empty at first, or holds `--learned`, what the model was
trained on. With `--held` it holds, once each, so many characters of the folder itself before the
rest is read: a user's first notes. With `--times` it holds what is read, too, that many times: what
one writes again and again. The network is the current model, or the base; it should not have been
trained on the texts that are read, or it is believed too much. With `--flat` it expects nothing.
`--write` puts the mixer into the package.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from afterword_trainer import corpus, durable, finding
from afterword_trainer.measures import bits_per_character
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mix, Mixer, Network
from afterword_trainer.model.predictor import Distribution
from afterword_trainer.model.step import open_predictor
from afterword_trainer.paths import Paths
from afterword_trainer.scores import Bits
from afterword_trainer.shelf import Shelf
from numpy.typing import NDArray
from stopwatch import say

PACKAGE = Path(__file__).parent.parent / "trainer" / "afterword_trainer" / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", help="ID on the shelf; without it, the current one")
    parser.add_argument("--learned", type=Path, help="what the memory holds from the start")
    parser.add_argument("--held", nargs="+", type=int, default=[0], help="of each folder, known")
    parser.add_argument("--times", type=int, default=0, help="that it holds what is read, too")
    parser.add_argument("--flat", action="store_true", help="a network that expects nothing")
    parser.add_argument("--from-shipped", action="store_true", help="go on from the shipped mixer")
    parser.add_argument("--alone", action="store_true", help="for a memory with no network")
    parser.add_argument("--characters", type=int, default=400_000, help="of each folder, at most")
    parser.add_argument("--write", action="store_true", help="into the package")
    options = parser.parse_args()

    paths = Paths.from_environment()
    shelf = Shelf(paths.models, paths.base)
    bundle = shelf.load(options.model) if options.model else shelf.current()[0]
    if bundle is None:
        raise SystemExit("there is no model yet; `trainer learn` makes one")
    make = Mixer.default if options.from_shipped else Mixer
    mixer = make(alone=options.alone)
    for number in (1, 2):
        mixer = mixer.copy()
        for folder, held in product(options.folders, options.held):
            memory = Memory(bundle.alphabet)
            for path, document in enumerate(documents(options.learned)):
                memory.learn(f"learned {path}", bundle.alphabet.encode(document.text))
            network = None if options.alone else network_of(bundle, flat=options.flat)
            limits = {"held": held, "times": options.times, "at_most": options.characters}
            bits = read(folder, bundle, network, memory, mixer, **limits)
            figures = {
                "pass": number,
                "folder": folder.name,
                "held": held,
                "bits": bits.per_character,
            }
            print(json.dumps(figures | {"characters": bits.characters}), flush=True)
    if options.write:
        name = f"mixer-{'alone' if options.alone else 'mixed'}.f32"
        durable.replace(PACKAGE / name, mixer.values.astype("<f4").tobytes())
        say(f"wrote {name}")


class Flat:
    """A network that expects nothing, whatever it observes."""

    def __init__(self, n_symbols: int) -> None:
        self._n_symbols = n_symbols

    def observe(self, symbol: int) -> None:
        """Nothing comes of it."""

    def distribution(self) -> Distribution:
        """All are equal."""
        return np.full(self._n_symbols, 1 / self._n_symbols, np.float32)

    def logits(self) -> NDArray[np.float32]:
        """All are equal."""
        return np.zeros(self._n_symbols, np.float32)

    def fork(self) -> "Flat":
        """Itself, as it never changes."""
        return self


def network_of(bundle: Bundle, *, flat: bool) -> Network:
    """Of the bundle, or one that expects nothing."""
    return Flat(bundle.alphabet.size) if flat else open_predictor(bundle)


def read(
    folder: Path,
    bundle: Bundle,
    network: Network | None,
    memory: Memory,
    mixer: Mixer,
    *,
    held: int,
    times: int,
    at_most: int,
) -> Bits:
    """Read `at_most` characters of a folder after `held` of them; memory and mixer learn."""
    total = Bits()
    for number, document in enumerate(documents(folder)):
        if total.characters >= at_most:
            break
        if known := document.text[:held]:
            memory.learn(f"held {number}", bundle.alphabet.encode(known))
        header = bundle.alphabet.header(document.path, document.language, document.modified)
        fork = network.fork() if network else None
        mix = Mix(fork, memory, mixer, learning=True, key=str(number))
        text = document.text[held:][: at_most - total.characters]
        if times and text:
            memory.learn(f"read {number}", bundle.alphabet.encode(text * times))
        held -= len(known)
        total += bits_per_character(mix, bundle.alphabet, text, header)
    return total


def documents(folder: Path | None) -> Iterator[corpus.Document]:
    """The texts of a folder, oldest first."""
    for item in corpus.documents([folder], finding.Rules()) if folder else ():
        if isinstance(item, corpus.Document):
            yield item


if __name__ == "__main__":
    main()
