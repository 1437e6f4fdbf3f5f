"""The base model's card: what it is made of, how, and how good it is, as Markdown.

Every figure comes from the bundle, so that the card cannot say anything else than the model does.
Knows what `trainer pretrain` writes down of a model's origin; reads and writes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import N_BYTES
from afterword_trainer.model.bundle import Bundle

INTENDED = """\
It is where `trainer learn` starts from, and what completes text before anything was learned.
It continues text, one character after another; it follows no instructions and answers no questions.
"""

WEAKNESSES = """\
- It knows spelling, phrases and the look of code and notes rather than facts: what it writes reads
  like language and is often untrue.
- It looks back a few hundred characters at most; names and terms of your own come from learning
  your files.
- Languages and kinds of text that are rare in the table above are predicted worst; scripts beyond
  its alphabet are spelled in UTF-8 bytes, which costs two or three predictions a character.
- What people wrote in books, documentation and code holds their prejudices, and it repeats them.
- It can repeat passages that it read, though it is far too small to hold more than a little.
"""

LICENCE = """\
The weights are part of Afterword and under its licence, MIT.
Text under CC-BY is named with its authors by the sources above.
"""


def write(bundle: Bundle) -> str:
    """The card of a base model. Raises BundleCorruptError if it does not tell its origin."""
    try:
        return "\n".join(_lines(bundle)) + "\n"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise bundles.BundleCorruptError(
            f"model {bundle.id!r}",
            f"it does not tell how it was made ({error!r})",
            "make it with `trainer pretrain`",
        ) from error


def _lines(bundle: Bundle) -> Iterator[str]:
    spec, facts = bundle.spec, bundle.provenance
    yield f"# The base model: {spec}"
    yield ""
    yield f"Made on {bundle.created[:10]} by `trainer pretrain`; this card is generated from it."
    yield INTENDED
    yield "| | |"
    yield "|---|---|"
    yield f"| network | {spec}, embedding {spec.embedding}, {spec.n_parameters():,} weights |"
    yield (
        f"| alphabet | {spec.n_symbols} symbols: {N_BYTES} bytes, 2 that frame a document, "
        f"{len(bundle.alphabet.characters)} characters beyond ASCII |"
    )
    files = bundles.pack(bundle, "float16")
    for name in sorted(files):
        yield f"| {name} | {len(files[name]):,} bytes{_FILES.get(name, '')} |"
    yield ""
    yield from _data(facts["parts"])
    yield from _kept_out(facts["parts"], facts["overlap"])
    yield from _recipe(facts)
    yield from _scores(facts["test"], facts["parts"])
    yield "## Known weaknesses"
    yield ""
    yield WEAKNESSES
    yield "## Licence"
    yield ""
    yield LICENCE.rstrip()


_FILES = {
    "weights.bin": ", float16: training goes on from these",
    "step-1.tflite": ", int8: this is served",
}


def _data(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Data"
    yield ""
    rows = [
        (
            part["name"],
            part["source"],
            "; ".join(part["licences"]) if len(part["licences"]) < 3 else "each its own, below",
            f"{part['documents']:,}",
            f"{part['characters']:,}",
            f"{part['characters_read']:,}",
        )
        for part in parts
    ]
    total = [
        f"{sum(p[k] for p in parts):,}" for k in ("documents", "characters", "characters_read")
    ]
    rows.append(("all", "", "", total[0], total[1], total[2]))
    yield from _table(("part", "from", "licence", "documents", "characters", "in a pass"), rows)
    for part in parts:
        if len(part["licences"]) >= 3:
            yield f"Licences of {part['name']}: {'; '.join(part['licences'])}."
            yield ""


def _kept_out(parts: Sequence[Mapping[str, Any]], overlap: Mapping[str, Any]) -> Iterator[str]:
    duplicates, secrets = (sum(p[key] for p in parts) for key in ("duplicates", "secrets_removed"))
    yield (
        f"Left out: {duplicates:,} documents that repeat another, {secrets:,} lines that look like "
        "keys or passwords."
    )
    yield (
        f"So that scores on {', '.join(overlap['tests']) or 'the tests'} mean something, "
        f"{overlap['documents_dropped']:,} documents that share {overlap['words']} words in a row "
        f"with them were left out ({overlap['characters_dropped']:,} characters); "
        f"{overlap['passages_compared']:,} passages were compared with "
        f"{overlap['passages_of_tests']:,}."
    )
    yield ""


def _recipe(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "## Recipe"
    yield ""
    yield (
        f"{facts['symbols']:,} symbols in {facts['seconds'] / 3600:.2f} hours, "
        f"{facts['epochs']:.2f} passes; matrix products in {facts['precision']}; "
        f"seed {facts['seed']}."
    )
    yield ""
    settings = {name.replace("_", " "): value for name, value in facts["recipe"].items()}
    yield from _table(("setting", "value"), ((k, f"{v}") for k, v in settings.items()))
    yield "Machine: " + ", ".join(f"{k} {v}" for k, v in facts["machine"].items()) + "."
    yield ""


def _scores(test: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Scores"
    yield ""
    yield (
        f"Bits per character on the {test['documents']} documents of `test.txt`, which it has not "
        "read, as it is served, without learning while it reads:"
    )
    yield ""
    found = test["bits_per_character"]
    rows = [(p["name"], f"{found[p['name']]:.3f}") for p in parts if p["name"] in found]
    yield from _table(("part", "bits per character"), [*rows, ("all", f"{found['']:.3f}")])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""
