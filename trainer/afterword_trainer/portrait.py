"""A model's portrait: what its bundle says of it, and what it writes, as data for the report.

Reads bundles and samples from them; knows nothing of HTML or of the disk.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from afterword_trainer import evaluation, records, report
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.predictor import Predictor
from afterword_trainer.model.sampling import Sampling, generate
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import NetworkPredictor, open_step
from afterword_trainer.model.suggestion import Policy, suggest

TEMPERATURES = (0.0, 0.3, 0.8, 1.0, 1.3, 1.8)  # those of the lesson, and greedy before them
SAMPLE_CHARACTERS = 280
N_OFFERS = 10
PRIMING_CHARACTERS = 600  # before the cursor: enough for the state to settle


def of_bundle(
    bundle: Bundle, others: Iterable[Bundle] = (), prompts: Sequence[str] = ()
) -> report.ReportData:
    """All that the report shows of `bundle`; `others` are compared if they learned the same text.

    Without `prompts`, openings of the user's own held-out text are continued.
    """
    told = [records.from_json(value) for value in bundle.history]
    facts: Any = bundle.provenance
    table: Any = facts.get("evaluation") or {}
    same_text = [other for other in others if _digest(other) == _digest(bundle)]
    step = open_step(bundle.spec, bundle.weights, bundle.graphs)
    samples = [
        report.Sample(
            prompt=prompt,
            temperature=temperature,
            text=write(
                NetworkPredictor(step),
                bundle.alphabet,
                prompt,
                SAMPLE_CHARACTERS,
                Sampling(temperature=temperature),
            ),
        )
        for prompt in (prompts or facts.get("prompts") or ["The"])
        for temperature in TEMPERATURES
    ]
    return report.ReportData(
        model=bundle.id,
        made=_day(bundle.created),
        summary=f"{_shape(bundle.spec)}, {bundle.spec.n_parameters() / 1e6:.1f} million weights",
        reading=_reading(facts.get("corpus")),
        scores=tuple(
            _score(row, ours=not index) for index, row in enumerate(table.get("rows", ()))
        ),
        measured_characters=table.get("keystroke_characters"),
        learning=report.learning(told),
        samples=tuple(samples),
        offers=tuple(report.Offer(**offer) for offer in facts.get("offers", ())),
        calibration=_calibration(table),
        networks=tuple(_network(b, ours=b is bundle) for b in (bundle, *same_text))
        if same_text
        else (),
        machine=tuple(_machine(facts)),
        command=facts.get("command", ""),
        previous=facts.get("previous") or "",
    )


def offers(
    predictor: Predictor, alphabet: Alphabet, documents: Iterable[evaluation.Document]
) -> Iterator[dict[str, str]]:
    """Held-out lines with what would have been offered in them, right or wrong, as JSON.

    `predictor` has observed nothing yet. The cursor stands at a third, a half or two thirds of
    lines spread evenly over the text, after a whole word or within one.
    """
    pieces = [piece for _, piece in zip(range(400), documents, strict=False)]
    lines = [
        (piece, start, line)
        for piece in pieces
        for start, line in _lines(piece.text)
        if 40 <= len(line) <= 160
    ]
    policy = Policy()
    for index in range(min(N_OFFERS, len(lines))):
        piece, start, line = lines[index * len(lines) // N_OFFERS]
        cursor = start + len(line) * (2 + index % 3) // 6
        fresh = predictor.fork()
        before = piece.text[max(0, cursor - PRIMING_CHARACTERS) : cursor]
        header = alphabet.header(piece.path, piece.language, piece.modified)
        for symbol in (*header.tolist(), *alphabet.encode(before).tolist()):
            fresh.observe(symbol)
        offered = suggest(fresh, alphabet, policy)
        yield {
            "before": piece.text[start:cursor],
            "offered": offered.text if offered else "",
            "written": piece.text[cursor : start + len(line)],
        }


def write(
    predictor: Predictor, alphabet: Alphabet, prompt: str, n_characters: int, sampling: Sampling
) -> str:
    """What the model writes after `prompt`, in a document of which nothing is known."""
    writer = predictor.fork()
    for symbol in (*alphabet.header().tolist(), *alphabet.encode(prompt).tolist()):
        writer.observe(symbol)
    return "".join(generate(writer, alphabet, sampling, n_characters, np.random.default_rng(0)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _digest(bundle: Bundle) -> Any:
    facts: Any = bundle.provenance
    return (facts.get("corpus") or {}).get("digest")


def _shape(spec: NetworkSpec) -> str:
    return f"{spec.cell.upper()} {spec.layers} × {spec.units}"


def _reading(found: Any) -> report.Reading | None:
    if not found:
        return None
    summary = found["summary"]

    def counts(shares: Any) -> tuple[report.Count, ...]:
        return tuple(
            report.Count(name=name, files=share["documents"], characters=share["characters"])
            for name, share in shares.items()
        )

    from afterword_trainer.corpus import REASONS

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
        bits=row.get("bits_per_character"),
        saved=row.get("ksr"),
        accepted=row.get("acceptance"),
        ksr=(lists["1"], lists["3"], lists["6"]) if lists else None,
        ours=ours,
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


def _network(bundle: Bundle, *, ours: bool) -> report.Network:
    told = [records.from_json(value) for value in bundle.history]
    end = next((r for r in reversed(told) if isinstance(r, records.Finished)), None)
    seconds = end.seconds if end else 0.0
    return report.Network(
        name=f"{_shape(bundle.spec)} ({bundle.id})",
        n_parameters=bundle.spec.n_parameters(),
        bits=bundle.scores.get("bits_per_character"),
        symbols_per_s=end.symbols_per_s if end else 0.0,
        minutes=seconds / 60,
        heldout=report.learning(told).heldout,
        ours=ours,
    )


def _machine(facts: Any) -> Iterator[tuple[str, str]]:
    for name, value in (facts.get("machine") or {}).items():
        yield name.replace("-", " ").replace("_", " "), str(value)
    if "seconds" in facts:
        yield "training", f"{facts['seconds'] / 60:.1f} minutes, {facts['epochs']:.1f} passes"
        yield "precision", str(facts["precision"])
        yield "seed", str(facts["seed"])


def _day(created: str) -> str:
    try:
        return f"{datetime.fromisoformat(created.replace('Z', '+00:00')).astimezone():%d %B %Y}"
    except ValueError:
        return created
