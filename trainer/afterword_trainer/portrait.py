"""A model's portrait: what its bundle says of it, and what it writes, as data for the report.

Reads bundles and samples from them; knows nothing of HTML or of the disk.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np

from afterword_trainer import ledger, records, report, stream
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle, BundleCorruptError
from afterword_trainer.model.predictor import Predictor, prime
from afterword_trainer.model.sampling import Sampling, generate
from afterword_trainer.model.step import open_predictor
from afterword_trainer.model.suggestion import Policy, suggest

TEMPERATURES = (0.0, 0.3, 0.8, 1.0, 1.3, 1.8)  # those of the lesson, and greedy before them
SAMPLE_CHARACTERS = 280
N_OFFERS = 10
BLANK_PAGE = "\n"  # what an empty prompt stands after: some line has just ended
PROMPT_CHARACTERS = 80  # five words, unless one of them is none
PRIMING_CHARACTERS = 600  # before the cursor: enough for the state to settle


def of_bundle(
    bundle: Bundle, others: Iterable[Bundle] = (), prompts: Sequence[str] = ()
) -> report.ReportData:
    """All that the report shows of `bundle`; `others` are compared if they learned the same text.

    Without `prompts`, openings of the user's own held-out text are continued. Raises
    BundleCorruptError for a bundle whose story cannot be read.
    """
    data = _known(bundle)
    (ours,) = data.networks
    theirs: list[report.Network] = []
    for other in others:
        with suppress(BundleCorruptError):  # a stranger's model does not spoil this one's report
            if _digest(bundle) and _digest(other) == _digest(bundle):
                theirs += _known(other).networks
    predictor = open_predictor(bundle)
    prompts = prompts or _prompts_of(bundle) or ["The"]
    samples = [
        report.Sample(
            prompt=prompt,
            temperature=temperature,
            text=write(
                predictor,
                bundle.alphabet,
                prompt,
                SAMPLE_CHARACTERS,
                Sampling(temperature=temperature),
            ),
        )
        for prompt in prompts
        for temperature in TEMPERATURES
    ]
    return replace(
        data,
        samples=tuple(samples),
        networks=(replace(ours, ours=True), *theirs) if theirs else (),
    )


def events(entries: Sequence[ledger.Entry]) -> tuple[report.Event, ...]:
    """What the ledger says, for people, the newest first."""
    return tuple(
        report.Event(
            when=local_time(entry.when, "%Y-%m-%d %H:%M"),
            what=_what(entry),
            model=entry.model or "",
            bits=_pair(entry, "bits_per_character"),
            saved=_pair(entry, "ksr"),
        )
        for entry in reversed(entries)
    )


_WORDS: dict[ledger.What, str] = {
    "learned": "learned",
    "updated": "new text learned",
    "rejected": "measured, not used",
    "forgotten": "forgotten",
    "rebuilt": "made anew without it",
    "used": "put to use",
}


def _what(entry: ledger.Entry) -> str:
    # The model beside it did not go: it is the one that serves without what was forgotten.
    if entry.what == "forgotten" and entry.model:
        return "forgotten, then in use"
    if entry.what == "rebuilt" and not entry.model:
        return "too little left for a model"
    return _WORDS[entry.what]


def _pair(entry: ledger.Entry, name: str) -> tuple[float | None, float | None]:
    before, after = (getattr(m, name) if m else None for m in (entry.before, entry.after))
    return before, after


def _prompts_of(bundle: Bundle) -> list[str]:
    found = bundle.provenance.get("prompts")
    some = found[:3] if isinstance(found, list) else []
    return [prompt[:PROMPT_CHARACTERS] for prompt in some if isinstance(prompt, str) and prompt]


def _known(bundle: Bundle) -> report.ReportData:
    """What a bundle says of itself, itself as the one network. Raises BundleCorruptError.

    The bundle may come from a stranger or from another version, so its words are taken here, in
    one place, or not at all.
    """
    facts = bundle.provenance
    try:
        table: Any = facts.get("evaluation") or {}
        told = [records.from_json(value) for value in bundle.history]
        return report.ReportData(
            model=bundle.id,
            made=local_time(bundle.created, "%d %B %Y"),
            summary=f"{bundle.spec}, {bundle.spec.n_parameters() / 1e6:.1f} million weights",
            reading=_reading(facts.get("corpus")),
            scores=tuple(
                _score(row, ours=not index) for index, row in enumerate(table.get("rows", ()))
            ),
            dial=tuple(map(_degree, table.get("dial", ()))),
            not_scored=tuple(map(str, table.get("dropped", ()))),
            measured_characters=table.get("keystroke_characters"),
            learning=report.learning(told),
            offers=tuple(report.Offer(**offer) for offer in facts.get("offers", ())),
            calibration=_calibration(table),
            networks=(_network(bundle, told),),
            machine=tuple(_machine(facts)),
            command=str(facts.get("command", "")),
            previous=str(facts.get("previous") or ""),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise BundleCorruptError(
            f"model {bundle.id!r}",
            "its story was not written by this version of Afterword",
            "it can be used, but a report needs `trainer learn` once more",
        ) from error


def offers(
    predictor: Predictor, alphabet: Alphabet, documents: Iterable[stream.Document]
) -> Iterator[dict[str, str]]:
    """Held-out lines with what would have been offered in them, right or wrong, as JSON.

    `predictor` has observed nothing yet. The cursor stands at a third, a half or two thirds of
    lines spread evenly over the text, after a whole word or within one.
    """
    pieces = islice(documents, 400)  # enough for ten lines, however large the rest is
    lines = [
        (piece, start, line)
        for piece in pieces
        for start, line in _lines(piece.text)
        if 40 <= len(line) <= 160  # long enough for a cursor in it, short enough for the page
    ]
    policy = Policy()
    for index in range(min(N_OFFERS, len(lines))):
        piece, start, line = lines[index * len(lines) // N_OFFERS]
        cursor = start + len(line) * (2 + index % 3) // 6
        fresh = predictor.fork()
        before = piece.text[max(0, cursor - PRIMING_CHARACTERS) : cursor]
        header = alphabet.header(piece.path, piece.language, piece.modified)
        prime(fresh, header, alphabet.encode(before))
        offered = suggest(fresh, alphabet, policy)
        yield {
            "before": piece.text[start:cursor],
            "offered": offered.text if offered else "",
            "written": piece.text[cursor : start + len(line)],
        }


def opening(documents: Iterable[stream.Document]) -> str:
    """The first words of text that was kept back: what the eye follows through training."""
    return next(_beginnings(documents), "The")


def prompts(documents: Iterable[stream.Document]) -> Iterator[str]:
    """Up to three beginnings of lines, spread over the text, for samples."""
    found = list(islice(_beginnings(documents), 2_000))
    yield from dict.fromkeys(found[index * len(found) // 3] for index in range(min(3, len(found))))


def _beginnings(documents: Iterable[stream.Document]) -> Iterator[str]:
    """The first five words of lines that look like sentences."""
    for document in documents:
        for line in document.text.splitlines():
            words = line.strip().lstrip("#*->| ").split()
            if len(words) >= 8 and words[0][0].isalpha():
                yield " ".join(words[:5])[:PROMPT_CHARACTERS]


def local_time(created: str, form: str) -> str:
    """An ISO 8601 time in UTC as the clock on the wall shows it, or as it is if it is none."""
    try:
        return datetime.fromisoformat(created.replace("Z", "+00:00")).astimezone().strftime(form)
    except ValueError:
        return created


def write(
    predictor: Predictor, alphabet: Alphabet, prompt: str, n_characters: int, sampling: Sampling
) -> str:
    """What the model writes after `prompt`, in a document of which nothing is known."""
    writer = predictor.fork()
    prime(writer, alphabet.encode(prompt or BLANK_PAGE))
    return "".join(generate(writer, alphabet, sampling, n_characters, np.random.default_rng(0)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _digest(bundle: Bundle) -> object:
    """Of the corpus; models with the same one can be compared."""
    corpus = bundle.provenance.get("corpus")
    return corpus.get("digest") if isinstance(corpus, dict) else None


def _reading(found: Any) -> report.Reading | None:
    if not found:
        return None
    summary = found["summary"]

    def counts(shares: Any) -> tuple[report.Count, ...]:
        return tuple(
            report.Count(name=name, files=share["documents"], characters=share["characters"])
            for name, share in shares.items()
        )

    from afterword_trainer.skips import REASONS

    return report.Reading(
        files=found["documents"],
        characters=found["learn_characters"],
        heldout_characters=found["heldout_characters"],
        languages=counts(summary["languages"]),
        folders=counts(summary["folders"]),
        skipped=tuple(
            report.Count(name=REASONS.get(reason, reason), files=n)
            for reason, n in summary["skipped"].items()
        ),
        secrets=summary["secrets_removed"],
    )


def _score(row: Any, *, ours: bool) -> report.Score:
    lists = row.get("presage_ksr")
    return report.Score(
        name=row["name"],
        note=str(row.get("note", "")),  # earlier versions had it in the name
        bits=row.get("bits_per_character"),
        saved=row.get("ksr"),
        accepted=row.get("acceptance"),
        ksr=(lists["1"], lists["3"], lists["6"]) if lists else None,
        ours=ours,
        part=bool(row.get("part")),
    )


def _degree(point: Any) -> report.Degree:
    return report.Degree(
        name=point["name"],
        min_probability=point["min_probability"],
        saved=point["ksr"],
        accepted=point["acceptance"],
    )


def _calibration(table: Any) -> report.Calibration | None:
    if not table.get("calibration"):
        return None
    typed = table["rows"][0]["keystrokes"]
    # After each key that was pressed there was a suggestion, or silence.
    silent = 1 - typed["shown"] / typed["keys"] if typed["keys"] else None
    return report.Calibration(
        bins=tuple(report.Bin(**bin_) for bin_ in table["calibration"]), silent=silent
    )


def _network(bundle: Bundle, told: Sequence[records.Record]) -> report.Network:
    end = next((r for r in reversed(told) if isinstance(r, records.Finished)), None)
    return report.Network(
        name=f"{bundle.spec} ({bundle.id})",
        n_parameters=bundle.spec.n_parameters(),
        bits=bundle.scores.get("bits_per_character"),
        symbols_per_s=end.symbols_per_s if end else 0.0,
        minutes=end.seconds / 60 if end else 0.0,
        heldout=report.learning(told).heldout,
    )


def _machine(facts: Any) -> Iterator[tuple[str, str]]:
    for name, value in (facts.get("machine") or {}).items():
        yield name.replace("-", " ").replace("_", " "), str(value)
    if "seconds" in facts:
        yield "training", f"{facts['seconds'] / 60:.1f} minutes, {facts['epochs']:.1f} passes"
        yield "precision", str(facts["precision"])
        yield "seed", str(facts["seed"])
