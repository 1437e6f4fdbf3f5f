"""The base model that ships with Afterword: it knows language before it has met the user.

    model/       a bundle whose id is "base", its weights in float16
    test.txt     text that it has not read, by which fine-tuning tells how much it forgets
    CARD.md      what it is made of and how good it is, generated from the bundle
    manifest.toml, SOURCES.md    what it was made from, and where that comes from

Knows how the folder is laid out; makes nothing (`pretraining` does) and imports no framework,
since models are asked before any is trained. Another folder of this form takes the place of ours
where AFTERWORD_BASE names one.
"""

from pathlib import Path

from afterword_trainer.language import language_of
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.bundle import Bundle, BundleCorruptError, BundleMissingError
from afterword_trainer.stream import Piece

ID = "base"
MODEL, TEST, CARD = "model", "test.txt", "CARD.md"
DOCUMENT = "\x1e"  # begins the line before each document of the test text; its path follows

# The whole folder: what everybody downloads, and the reason for a network of this size.
MAX_BYTES = 16_000_000


def exists(folder: Path) -> bool:
    """Whether there is a base model; a checkout has none before one was made."""
    return (folder / MODEL).is_dir()


def load(folder: Path) -> Bundle:
    """The base model, every byte of it checked. Raises BundleError."""
    if not exists(folder):
        raise BundleMissingError(
            str(folder),
            "there is no base model here",
            "install Afterword from a release, or learn with `--from scratch`",
        )
    model = folder / MODEL
    bundle = bundles.unpack(bundles.read(model), str(model), REMEDY)
    if bundle.id != ID:
        raise BundleCorruptError(str(model), f"it is model {bundle.id}, not the base", REMEDY)
    return bundle


def documents(folder: Path) -> list[Piece]:
    """The test text of the base model, document by document. Raises BundleMissingError."""
    path = folder / TEST
    try:
        # Byte for byte: no line end is translated, no lone surrogate refused.
        text = path.read_bytes().decode("utf-8", "surrogatepass")
    except (OSError, ValueError) as error:
        raise BundleMissingError(str(path), "it cannot be read", REMEDY) from error
    found = []
    for document in text.split(DOCUMENT)[1:]:
        name, _, body = document.partition("\n")
        found.append(Piece(path=name, language=language_of(name), modified=0.0, text=body))
    return found


REMEDY = "install Afterword again"
