"""The report after training: one HTML file that a person wants to look at.

Knows how numbers become sentences and tables, and which of them `charts` draws; measures nothing,
reads and writes nothing. The page, `report.html.jinja`, loads nothing and runs no script.

Curves of training are in bits per symbol, as training counts them, headers of documents included;
scores are in bits per character. On ASCII text they are nearly the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterword_trainer import charts
from afterword_trainer.charts import DASHES, Curve, LineChart, Points, line_chart, sound, spread
from afterword_trainer.model.sampling import find_cycle
from afterword_trainer.records import BaseBits, Evaluated, Noticed, Record, Stepped
from afterword_trainer.view import amount, bits, duration, kept, visible

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many files are of one kind: a language, a folder, a reason to skip them."""

    name: str
    files: int
    characters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read and what was not: counts only, no file is named."""

    files: int
    characters: int  # learned from
    heldout_characters: int  # kept back
    languages: tuple[Count, ...] = ()
    folders: tuple[Count, ...] = ()
    skipped: tuple[Count, ...] = ()  # `name` is the reason
    secrets: int = 0  # places left out because they look like keys or passwords


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How the same prompt was continued at one time of training."""

    seconds: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """One run of training as curves and openings; `learning` makes it from the run's records.

    Curves are (minutes, bits per symbol).
    """

    train: Points = ()
    heldout: Points = ()
    start_bits: float | None = None  # per symbol, of the model that training started from
    best: tuple[float, float] | None = None  # (minutes, bits) of the network that was kept
    prompt: str = ""
    openings: tuple[Opening, ...] = ()
    notices: tuple[str, ...] = ()
    kept: str = ""  # how much of what the base model knew, in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One model or baseline, measured on the same held-out text as the others."""

    name: str
    note: str = ""  # which of several it is, such as "order 12"
    bits: float | None = None  # per character
    saved: float | None = None  # keystrokes in 100, one ghost suggestion, editor-exact
    accepted: float | None = None  # % of the distinct suggestions that were shown
    ksr: tuple[float, float, float] | None = None  # Presage KSR@1, @3, @6 in %
    ours: bool = False
    part: bool = False  # of ours, and no rival of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Degree:
    """What is saved at one degree of eagerness, and how often what is shown is right."""

    name: str  # such as "quiet"; most have none
    min_probability: float  # that a suggestion is shown at
    saved: float  # keystrokes in 100
    accepted: float  # % of the distinct suggestions that were shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the model writes after `prompt`; temperature 0 is greedy."""

    prompt: str
    temperature: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A real held-out line: what stood before the cursor, what was offered, what was written."""

    before: str
    offered: str  # empty: it stayed silent
    written: str

    @property
    def right(self) -> bool:
        """Whether accepting it would have given what the user wrote."""
        return bool(self.offered) and self.written.startswith(self.offered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Suggestions that the model was about equally sure of; `said` and `was` are 0 to 1."""

    said: float
    was: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How far the model's own certainty can be believed."""

    bins: tuple[Bin, ...]
    silent: float | None = None  # share of keystrokes at which nothing was offered


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One of several networks that were trained on the same text, for comparison."""

    name: str  # such as "GRU 2 × 512"
    n_parameters: int
    bits: float | None  # per character of held-out text, of its best network
    symbols_per_s: float
    minutes: float
    heldout: Points = ()  # (minutes, bits per symbol)
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the ledger."""

    when: str  # a date as people read it
    what: str  # such as "new text learned"
    model: str = ""  # what came of it
    bits: tuple[float | None, float | None] = (None, None)  # per character, before and after
    saved: tuple[float | None, float | None] = (None, None)  # percent of keystrokes, likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """All that a report shows. A section whose data is empty is left out."""

    model: str  # such as "you-3"
    made: str  # a date as people read it
    summary: str = ""  # the network in a few words
    reading: Reading | None = None
    scores: tuple[Score, ...] = ()
    not_scored: tuple[str, ...] = ()  # baselines for which there was no time
    measured_characters: int | None = None  # of held-out text that the scores were measured on
    dial: tuple[Degree, ...] = ()  # from the most eager to the quietest
    learning: Learning | None = None
    samples: tuple[Sample, ...] = ()
    offers: tuple[Offer, ...] = ()
    calibration: Calibration | None = None
    networks: tuple[Network, ...] = ()
    events: tuple[Event, ...] = ()  # the newest first
    machine: tuple[tuple[str, str], ...] = ()  # (what, value): processor, minutes, versions, seed
    command: str = ""  # that gives this model again
    previous: str = ""  # the bundle that was used before, if there was one


def render(data: ReportData, *, include_excerpts: bool = True) -> str:
    """The report as one HTML document of at most 300 KB.

    Without excerpts nothing of the user's is left in it: no prompt, sample or line, no name of a
    folder, no command; only numbers, languages and reasons.
    """
    if not include_excerpts:
        data = _without_excerpts(data)
    headline = _headline(data)
    bins = data.calibration.bins if data.calibration else ()
    return _page().render(
        data=data,
        include_excerpts=include_excerpts,
        headline=headline,
        keys=_keys(headline),
        score_bars=_score_bars(data.scores),
        dial_chart=charts.trade_off([(d.accepted, d.saved, d.name) for d in data.dial]),
        dial_finding=_dial_finding(data.dial),
        learning_chart=_learning_chart(data.learning),
        openings=spread(data.learning.openings, N_OPENINGS) if data.learning else (),
        samples=_by_prompt(data.samples),
        offers=[_trimmed(offer) for offer in data.offers[:N_OFFERS]],
        network_chart=_network_chart(data.networks),
        dots=charts.dots([(b.said, b.was, b.n) for b in bins[: 2 * N_ROWS]]),
        n_rows=N_ROWS,
    )


def learning(records: Iterable[Record]) -> Learning:
    """The curves, openings and notices of a run, from its records in time order."""
    start_bits: float | None = None
    train: list[tuple[float, float]] = []
    heldout: list[tuple[float, float]] = []
    openings: list[Opening] = []
    notices: list[str] = []
    best: tuple[float, float] | None = None
    prompt = what_is_kept = ""
    for record in records:
        if isinstance(record, Stepped | Evaluated) and record.share:  # before, it read nothing
            train.append((record.seconds / 60, record.train_bits))
        if isinstance(record, Evaluated):
            heldout.append((record.seconds / 60, record.heldout_bits))
            if not record.share:  # before the first step
                start_bits = record.heldout_bits
            openings.append(Opening(seconds=record.seconds, text=record.sample))
            prompt = record.prompt
            best = heldout[-1] if record.best else best
        elif isinstance(record, Noticed):
            notices.append(record.message)
        elif isinstance(record, BaseBits):
            what_is_kept = kept(record)
    return Learning(
        train=sound(train),
        heldout=sound(heldout),
        start_bits=start_bits,
        best=best,
        prompt=prompt,
        openings=tuple(openings),
        notices=tuple(notices),
        kept=what_is_kept,
    )


@cache
def _page() -> "Template":
    """The compiled page. `finalize` sees every text that goes into it: none can be forgotten."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    pages.filters |= {
        "amount": amount,
        "bits": bits,
        "clock": duration,
        "in_words": _in_words,
        "percent": lambda share: f"{100 * share:.0f} %",
        "shorten": _shorten,
        "style": _style,
    }
    return pages.get_template("report.html.jinja")


# Limits: with all of them reached, the file stays below 300 KB.

N_TEXT = 600  # characters of any one text: about what fits a paragraph
N_ROWS = 12  # of a table
N_OPENINGS = 6
N_PROMPTS = 4
N_TEMPERATURES = 6
N_OFFERS = 10
N_CONTEXT = 110  # characters of a held-out line on each side of the cursor


# Words


@dataclass(frozen=True, slots=True)
class Headline:
    """What the report says first, and the sentence below it."""

    title: str
    sentence: str
    ours: Score | None = None
    rival: Score | None = None


def _headline(data: ReportData) -> Headline:
    ours = next((s for s in data.scores if s.ours), None)
    measured = "Measured on your newest text, which it had never read."
    if data.measured_characters:
        measured = (
            f"Measured on {_in_words(data.measured_characters)} characters of your newest text,"
            " which it had never read."
        )
    if ours and ours.saved is not None:
        title = f"Afterword saves you {ours.saved:.0f} keystrokes in 100"
        others = [s for s in data.scores if not (s.ours or s.part) and s.saved is not None]
        rival = max(others, key=lambda s: s.saved or 0.0, default=None)
        sentence = measured
        if rival and rival.saved is not None and rival.saved < ours.saved:
            best = "best simpler method" if not data.not_scored else "best of those scored"
            sentence += f" The {best}, {rival.name}, saves {rival.saved:.0f}."
        elif rival and rival.saved is not None:
            sentence += (
                f" A simpler method is still ahead: {rival.name} saves {rival.saved:.0f}."
                " More text or more minutes may change that."
            )
        if data.not_scored:
            sentence += f" Not scored for want of time: {', '.join(data.not_scored)}."
        return Headline(title, sentence, ours, rival)
    if ours and ours.bits is not None:
        return Headline(
            f"{ours.bits:.2f} bits for each character you write",
            f"{measured} The fewer bits, the less your writing surprises it.",
        )
    if data.reading:
        read = _in_words(data.reading.characters)
        return Headline(f"Afterword has read {read} characters of yours", "")
    return Headline(f"{data.model} has been trained", "")


def _without_excerpts(data: ReportData) -> ReportData:
    return replace(
        data,
        samples=(),
        offers=(),
        command="",
        reading=data.reading and replace(data.reading, folders=()),
        learning=data.learning and replace(data.learning, prompt="", openings=()),
    )


def _harmless(value: Any) -> Any:
    """Every text on its way into the page: bounded, and with nothing in it that acts unseen."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return visible(_shorten(value, N_TEXT), keep="\n\t")


def _shorten(text: str, at_most: int) -> str:
    return text if len(text) <= at_most else f"{text[: at_most - 1]}…"


def _in_words(n: int) -> str:
    """A count for the middle of a sentence: 512, 20,000, 1.92 million."""
    return f"{n:,}" if n < 1_000_000 else f"{n / 1e6:.3g} million"


def _style(text: str) -> str:
    """ "code" for text that needs letters of equal width, "" for prose."""
    signs = sum(text.count(sign) for sign in "{}[]()=<>_;:/\\")
    indented = text.count("\n  ") + text.count("\n\t")
    return "code" if signs + 6 * indented > max(2, 0.04 * len(text)) else ""


def _trimmed(offer: Offer) -> Offer:
    before = offer.before if len(offer.before) <= N_CONTEXT else f"…{offer.before[-N_CONTEXT:]}"
    return Offer(
        before=before,
        offered=offer.offered[:N_CONTEXT],
        written=_shorten(offer.written, N_CONTEXT),
    )


@dataclass(frozen=True, slots=True)
class Passage:
    """A sample in two parts: the second says the first one's end again and again."""

    temperature: float
    style: str  # "code" or ""
    fresh: str
    again: str = ""


def _by_prompt(samples: Sequence[Sample]) -> list[tuple[str, list[Passage]]]:
    groups = []
    for prompt, group in islice(groupby(samples, key=lambda s: s.prompt), N_PROMPTS):
        shown = list(group)[:N_TEMPERATURES]
        style = _style(prompt + shown[0].text)
        passages = []
        for sample in shown:
            text = _shorten(sample.text.strip("\n") if style else sample.text.strip(), N_TEXT)
            cycle = find_cycle(text.removesuffix("…"))
            second_round = sum(cycle) if cycle else len(text)
            passages.append(
                Passage(sample.temperature, style, text[:second_round], text[second_round:])
            )
        groups.append((prompt, passages))
    return groups


# Charts: which numbers are drawn, and what they show


def _keys(headline: Headline) -> list[charts.Key]:
    """A hundred keys: ours beside the best simpler method's."""
    if headline.ours is None or headline.ours.saved is None:
        return []
    return charts.keys(headline.ours.saved, (headline.rival and headline.rival.saved) or 0)


def _score_bars(scores: Iterable[Score]) -> list[charts.Bar]:
    """Keystrokes saved, as many as fit."""
    saved = (
        charts.Measure(_shorten(s.name, 40), _shorten(s.note, 60), s.saved, s.ours)
        for s in scores
        if s.saved is not None
    )
    return charts.bars(saved)[:N_ROWS]


def _dial_finding(dial: Iterable[Degree]) -> str:
    named = [
        f"{degree.name} saves {degree.saved:.0f} and is right {degree.accepted:.0f} % of the time"
        for degree in dial
        if degree.name
    ]
    return f"Of a hundred keys, {'; '.join(named)}." if named else ""


def _learning_chart(run: Learning | None) -> LineChart | None:
    if run is None:
        return None
    train, heldout = sound(run.train), sound(run.heldout)
    if not heldout:
        return None
    curves = [
        Curve(name="held-out", style="main", points=heldout, best=run.best),
        Curve(name="learning", style="dashed", points=train),
    ]
    if run.start_bits is not None:
        span = max(x for x, _ in (*heldout, *train))
        start = sound(((0.0, run.start_bits), (span, run.start_bits)))
        curves.append(Curve(name="start", style="dotted", points=start))
    best = run.best or heldout[-1]
    finding = (
        f"On held-out text it went from {bits(heldout[0][1])} to {bits(best[1])} bits per symbol; "
        f"the best network, the one that is kept, was there after {duration(60 * best[0])}."
    )
    return line_chart("The learning curve", finding, curves)


def _network_chart(networks: Sequence[Network]) -> LineChart | None:
    curves = [(n, sound(n.heldout)) for n in networks[: len(DASHES) - 1]]
    drawn = [(n, points, min(points, key=lambda point: point[1])) for n, points in curves if points]
    if len(drawn) < 2:
        return None
    winner, _, (_, lowest) = min(drawn, key=lambda one: one[2][1])
    finding = f"{winner.name} came lowest, at {bits(lowest)} bits per symbol on held-out text."
    others = iter(DASHES[1:])
    return line_chart(
        "The networks compared",
        finding,
        [
            Curve(
                name=_shorten(n.name, 14),
                # The accent belongs to the network in use; each other one has a dash of its own.
                style=DASHES[0] if n.ours else next(others),
                points=points,
                best=best,
            )
            for n, points, best in drawn
        ],
    )
