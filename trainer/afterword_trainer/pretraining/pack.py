"""Put a base model into the package: `python -m afterword_trainer.pretraining.pack EXPORTED`.

EXPORTED is what `trainer pretrain --out EXPORTED` made: a model and its test text.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from afterword_trainer import base, durable
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.bundle import Bundle, BundleError, BundleMissingError
from afterword_trainer.paths import SHIPPED_BASE
from afterword_trainer.pretraining import card


def pack(exported: Path, folder: Path) -> Bundle:
    """Make the model in `exported` the base model in `folder`; what it is now.

    Float16 weights and one serving graph, which serves any number of streams: the whole is to
    stay under base.MAX_BYTES. Raises BundleError, durable.StateError.
    """
    # 1) the model, with nothing beside it that the card does not tell
    models = [path.parent for path in sorted(exported.glob(f"*/{bundles.MANIFEST}"))]
    if len(models) != 1:
        raise BundleMissingError(
            str(exported),
            f"it holds {len(models)} models, not one",
            "name the folder that `trainer pretrain --out` made",
        )
    bundle = bundles.load(models[0])
    bundle = replace(
        bundles.without_excerpts(bundle),
        id=base.ID,
        graphs={n: graph for n, graph in bundle.graphs.items() if n == 1},
    )
    files = bundles.pack(bundle, "float16")
    bundle = bundles.unpack(files, str(exported))  # with the weights as they are rounded now
    test = durable.read(exported / base.TEST, at_most=1 << 20)
    about = card.write(bundle).encode()

    # 2) small enough for everybody to download
    size = sum(map(len, [*files.values(), test, about]))
    if size > base.MAX_BYTES:
        problem = f"it would take {size:,} bytes, and {base.MAX_BYTES:,} are the most"
        raise BundleError(str(exported), problem, "pretrain with fewer --units")

    # 3) in its place; the checkout's history has what was there before
    durable.retire(folder / base.MODEL)
    durable.publish_folder(folder, base.MODEL, files)
    durable.replace(folder / base.TEST, test)
    durable.replace(folder / base.CARD, about)
    return bundle


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m afterword_trainer.pretraining.pack EXPORTED\n")
        return 2
    try:
        bundle = pack(Path(arguments[0]), SHIPPED_BASE)
    except (BundleError, durable.StateError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    print(f"{bundle.spec}, {bundle.spec.n_symbols} symbols, is the base model in {SHIPPED_BASE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
