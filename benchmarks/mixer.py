"""Teach the mixer that is shipped, and say what it gains.

    .venv/bin/python benchmarks/mixer.py FOLDER... [--learned FOLDER] [--alone] [--from-shipped]

Reads the texts of the folders, oldest first, as a user would write them: a memory learns every
symbol as it comes, and the mixer beside it; then the same once more with what the mixer has
learned, which is the gain. The memory is empty at first, or holds `--learned`, what the model was
trained on. The network is the current model, or the base; it should not have been trained on the
texts that are read, or it is believed too much. `--write` puts the mixer into the package.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from afterword_trainer import corpus, durable
from afterword_trainer.measures import bits_per_character
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.step import NetworkPredictor, open_predictor
from afterword_trainer.paths import Paths
from afterword_trainer.scores import Bits
from afterword_trainer.shelf import Shelf
from stopwatch import say

PACKAGE = Path(__file__).parent.parent / "trainer" / "afterword_trainer" / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", help="ID on the shelf; without it, the current one")
    parser.add_argument("--learned", type=Path, help="what the memory holds from the start")
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
        for folder in options.folders:
            memory = Memory(bundle.alphabet)
            for path, document in enumerate(documents(options.learned)):
                memory.learn(f"learned {path}", bundle.alphabet.encode(document.text))
            network = None if options.alone else open_predictor(bundle)
            bits = read(folder, bundle, network, memory, mixer, options.characters)
            figures = {"pass": number, "folder": folder.name, "bits": bits.per_character}
            print(json.dumps(figures | {"characters": bits.characters}), flush=True)
    if options.write:
        name = f"mixer-{'alone' if options.alone else 'mixed'}.f32"
        durable.replace(PACKAGE / name, mixer.values.astype("<f4").tobytes())
        say(f"wrote {name}")


def read(
    folder: Path,
    bundle: Bundle,
    network: NetworkPredictor | None,
    memory: Memory,
    mixer: Mixer,
    at_most: int,
) -> Bits:
    """Read `at_most` characters of a folder; memory and mixer learn."""
    total = Bits()
    for number, document in enumerate(documents(folder)):
        if total.characters >= at_most:
            break
        header = bundle.alphabet.header(document.path, document.language, document.modified)
        fork = network.fork() if network else None
        mix = Mix(fork, memory, mixer, learning=True, key=str(number))
        text = document.text[: at_most - total.characters]
        total += bits_per_character(mix, bundle.alphabet, text, header)
    return total


def documents(folder: Path | None) -> Iterator[corpus.Document]:
    """The texts of a folder, oldest first."""
    for item in corpus.documents([folder], corpus.Rules()) if folder else ():
        if isinstance(item, corpus.Document):
            yield item


if __name__ == "__main__":
    main()
