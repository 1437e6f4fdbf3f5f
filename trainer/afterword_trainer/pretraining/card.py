"""The base model's card: what it is made of, how, and how good it is, as Markdown.

Every figure comes from the bundle, so that the card cannot say anything else than the model does.
Knows what `pretrain` writes down of a model's origin, which may be several runs, each beginning
with the weights that the one before ended with; reads and writes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
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
    runs = [facts]  # the last first
    while start := runs[-1].get("start"):
        runs.append(start)
    yield from _data(runs)
    yield from _recipe(facts, runs)
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


def _data(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What each run read, and what was kept out of it; what is as in the run after it, only once.

    The first bases that began with another did not write down its parts.
    """
    yield "## Data"
    yield ""
    yield from _read(runs[0]["parts"])
    yield _kept_out(runs[0]["overlap"])
    yield ""
    for after, run in pairwise(runs):
        began = f"Run {_short(after['run'])} began with what run {_short(run['run'])} had made of"
        if _read_the_same(run, after):
            yield f"{began} the same texts."
        elif parts := run.get("parts"):
            yield f"{began} these:"
            yield ""
            yield from _read(parts)
        else:
            yield f"{began} the parts of another manifest, SHA-256 {_short(run['manifest'])}."
        if run["overlap"] != after["overlap"]:
            yield _kept_out(run["overlap"])
        yield ""


def _short(digest: str) -> str:
    """Enough of it to tell runs and manifests apart."""
    return digest[:12]


def _read_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs had the same texts, though each drew its own shares of them."""
    keys = ("name", "weight", "source", "licences", "documents", "characters")
    both = [
        [[part.get(key) for key in keys] for part in run.get("parts") or ()] for run in (one, other)
    ]
    return both[0] == both[1] if all(both) else bool(one["manifest"] == other["manifest"])


def _read(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
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
    duplicates, secrets = (sum(p[key] for p in parts) for key in ("duplicates", "secrets_removed"))
    yield (
        f"Left out: {duplicates:,} documents that repeat another, {secrets:,} lines that look like "
        "keys or passwords."
    )


def _kept_out(overlap: Mapping[str, Any]) -> str:
    return (
        f"So that scores on {', '.join(overlap['tests']) or 'the tests'} mean something, "
        f"{overlap['documents_dropped']:,} documents that share {overlap['words']} words in a row "
        f"with them were left out ({overlap['characters_dropped']:,} characters); "
        f"{overlap['passages_compared']:,} passages were compared with "
        f"{overlap['passages_of_tests']:,}."
    )


def _recipe(facts: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Recipe"
    yield ""
    if len(runs) > 1:
        symbols, seconds = (sum(run[key] for run in runs) for key in ("symbols", "seconds"))
        yield f"{symbols:,} symbols in {seconds / 3600:.2f} hours, in {len(runs)} runs:"
        yield ""
        rows = [
            (_short(r["run"]), f"{r['symbols']:,}", f"{r['seconds'] / 3600:.2f}", f"{r['seed']}")
            for r in reversed(runs)
        ]
        yield from _table(("run", "symbols", "hours", "seed"), rows)
        yield "The last of them:"
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
        cells = (" ".join(cell.replace("|", "/").split()) for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""
