"""The report after training: one HTML file that a person wants to look at.

Knows how numbers become sentences, charts and tables; measures nothing, reads and writes nothing.
The page loads nothing from anywhere and runs no script. `report.html.jinja` is the page,
`charts.html.jinja` draws what this module has placed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterword_trainer.model.sampling import find_cycle
from afterword_trainer.records import Evaluated, Noticed, Record, Stepped
from afterword_trainer.view import amount, bits, duration, visible

if TYPE_CHECKING:
    from jinja2 import Template

Points = tuple[tuple[float, float], ...]  # (minutes, bits per character), in time order


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
    """One run of training as curves and openings; `learning` makes it from the run's records."""

    train: Points = ()
    heldout: Points = ()
    start_bits: float | None = None  # of the model that training started from, on held-out text
    best: tuple[float, float] | None = None  # (minutes, bits) of the network that was kept
    prompt: str = ""
    openings: tuple[Opening, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One model or baseline, measured on the same held-out text as the others."""

    name: str
    note: str = ""  # what it is, in a few words
    bits: float | None = None  # per character
    saved: float | None = None  # keystrokes in 100, one ghost suggestion, editor-exact
    accepted: float | None = None  # % of the distinct suggestions that were shown
    ksr: tuple[float, float, float] | None = None  # Presage KSR@1, @3, @6 in %
    ours: bool = False


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
    bits: float | None  # held-out, of its best network
    symbols_per_s: float
    minutes: float
    heldout: Points = ()
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """All that a report shows. A section whose data is empty is left out."""

    model: str  # such as "you-3"
    made: str  # a date as people read it
    summary: str = ""  # the network in a few words
    reading: Reading | None = None
    scores: tuple[Score, ...] = ()
    measured_characters: int | None = None  # of held-out text that the scores were measured on
    learning: Learning | None = None
    samples: tuple[Sample, ...] = ()
    offers: tuple[Offer, ...] = ()
    calibration: Calibration | None = None
    networks: tuple[Network, ...] = ()
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
    return _page().render(
        data=data,
        include_excerpts=include_excerpts,
        headline=headline,
        keys=_keys(headline),
        score_bars=_score_bars(data.scores),
        learning_chart=_learning_chart(data.learning),
        openings=_spread(data.learning.openings, N_OPENINGS) if data.learning else (),
        samples=_by_prompt(data.samples),
        offers=[_trimmed(offer) for offer in data.offers[:N_OFFERS]],
        network_chart=_network_chart(data.networks),
        dots=_dots(data.calibration),
        n_rows=N_ROWS,
    )


def learning(records: Iterable[Record], *, start_bits: float | None = None) -> Learning:
    """The curves, openings and notices of a run, from its records in time order."""
    train: list[tuple[float, float]] = []
    heldout: list[tuple[float, float]] = []
    openings: list[Opening] = []
    notices: list[str] = []
    best: tuple[float, float] | None = None
    prompt = ""
    for record in records:
        if isinstance(record, Stepped | Evaluated):
            train.append((record.seconds / 60, record.train_bits))
        if isinstance(record, Evaluated):
            heldout.append((record.seconds / 60, record.heldout_bits))
            openings.append(Opening(seconds=record.seconds, text=record.sample))
            prompt = record.prompt
            best = heldout[-1] if record.best else best
        elif isinstance(record, Noticed):
            notices.append(record.message)
    return Learning(
        train=_sound(train),
        heldout=_sound(heldout),
        start_bits=start_bits,
        best=best,
        prompt=prompt,
        openings=tuple(openings),
        notices=tuple(notices),
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
N_POINTS = 160  # of a curve: one for every third pixel


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
        others = [s for s in data.scores if not s.ours and s.saved is not None]
        rival = max(others, key=lambda s: s.saved or 0.0, default=None)
        sentence = measured
        if rival and rival.saved is not None and rival.saved < ours.saved:
            sentence += f" The best simpler method, {rival.name}, saves {rival.saved:.0f}."
        elif rival and rival.saved is not None:
            sentence += (
                f" A simpler method is still ahead: {rival.name} saves {rival.saved:.0f}."
                " More text or more minutes may change that."
            )
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


# Charts: here every mark gets its place, in the units of its drawing


@dataclass(frozen=True, slots=True)
class Key:
    """One of a hundred keys: who saves it."""

    x: float
    y: float
    style: str  # "both" | "ours" | "theirs" | "yours"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar and its words."""

    name: str
    note: str
    label: str
    width: float
    y: float
    ours: bool


@dataclass(frozen=True, slots=True)
class Stroke:
    """One curve, the place of its label at the right end, and its best point."""

    name: str
    label: str
    style: str  # of the line; curves differ in dash, not only in colour
    points: list[tuple[float, float]]
    label_y: float
    dot: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class LineChart:
    """Curves over minutes; bits per character downwards are better."""

    title: str
    finding: str
    strokes: list[Stroke] = field(default_factory=list)
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    table: list[tuple[str, Points]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dot:
    """A group of suggestions, placed by what was said and what came true."""

    x: float
    y: float
    radius: float


N_KEYS_IN_ROW = 25
CHART_WIDTH = 600.0
PLOT_LEFT, PLOT_TOP, PLOT_WIDTH, PLOT_HEIGHT = 44.0, 14.0, 440.0, 230.0
LABEL_HEIGHT = 38.0  # two lines of text; labels closer than this would overlap
SQUARE = 260.0  # side of the calibration plot


def _keys(headline: Headline) -> list[Key]:
    """A hundred keys, four rows of them."""
    if headline.ours is None or headline.ours.saved is None:
        return []
    ours = round(headline.ours.saved)
    theirs = round(headline.rival.saved or 0) if headline.rival else 0
    keys = []
    for i in range(100):
        style = "both" if i < min(ours, theirs) else "ours" if i < ours else "yours"
        if ours <= i < theirs:
            style = "theirs"
        keys.append(Key(i % N_KEYS_IN_ROW * 24 + 2, i // N_KEYS_IN_ROW * 24 + 2, style))
    return keys


def _score_bars(scores: Sequence[Score]) -> list[Bar]:
    """Keystrokes saved, one bar each, the longest at the top."""
    known = sorted((s for s in scores if s.saved is not None), key=lambda s: -(s.saved or 0))
    known = known[:N_ROWS]
    longest = max((s.saved or 0 for s in known), default=0)
    if longest <= 0:
        return []
    return [
        Bar(
            name=_shorten(score.name, 40),
            note=_shorten(score.note, 60),
            label=f"{score.saved:.1f}",
            width=max(1.0, 520 * (score.saved or 0) / longest),
            y=i * 48.0,
            ours=score.ours,
        )
        for i, score in enumerate(known)
    ]


def _learning_chart(run: Learning | None) -> LineChart | None:
    if run is None:
        return None
    run = replace(run, train=_sound(run.train), heldout=_sound(run.heldout))
    if not run.heldout:
        return None
    series = [
        ("held-out", "main", run.heldout, run.best),
        ("learning", "dashed", run.train, None),
    ]
    if run.start_bits is not None:
        span = max(x for x, _ in (*run.heldout, *run.train))
        start = _sound(((0.0, run.start_bits), (span, run.start_bits)))
        series.append(("start", "dotted", start, None))
    first, last = run.heldout[0], run.heldout[-1]
    best = run.best or last
    finding = (
        f"On held-out text it went from {bits(first[1])} to {bits(best[1])} bits per character; "
        f"the best network, the one that is kept, was there after {duration(60 * best[0])}."
    )
    return _line_chart("The learning curve", finding, series)


def _network_chart(networks: Sequence[Network]) -> LineChart | None:
    sound = (replace(n, heldout=_sound(n.heldout)) for n in networks[: len(DASHES) - 1])
    drawn = [n for n in sound if n.heldout]
    if len(drawn) < 2:
        return None
    others = iter(DASHES[1:])
    series = [
        # The accent belongs to the network that is used; each other one has a dash of its own.
        (n.name, DASHES[0] if n.ours else next(others), n.heldout, _lowest(n.heldout))
        for n in drawn
    ]
    winner = min(drawn, key=lambda n: _lowest(n.heldout)[1])
    finding = (
        f"{winner.name} came lowest, at {bits(_lowest(winner.heldout)[1])} bits per character on "
        "held-out text."
    )
    return _line_chart("The networks compared", finding, series)


def _lowest(points: Points) -> tuple[float, float]:
    return min(points, key=lambda point: point[1])


DASHES = ("main", "dashed", "dotted", "long", "dashdot", "thin")


def _line_chart(
    title: str,
    finding: str,
    series: Sequence[tuple[str, str, Points, tuple[float, float] | None]],
) -> LineChart:
    """Place curves of (name, style, points, best point) in one plot."""
    series = [(name, style, _thinned(points), dot) for name, style, points, dot in series if points]
    every = [y for _, _, points, _ in series for _, y in points]
    span = max(1 / 60, *(x for _, _, points, _ in series for x, _ in points))
    low, high = min(every), max(every)
    high = max(min(high, 2 * low), low + 0.1)  # the first seconds would flatten all the rest
    y_step = _step(high - low, 4)
    bottom = math.floor(low / y_step) * y_step
    top = math.ceil(high / y_step) * y_step

    def x_of(minutes: float) -> float:
        return round(PLOT_WIDTH * minutes / span, 1)

    def y_of(value: float) -> float:
        return round(PLOT_HEIGHT * (top - value) / (top - bottom), 1)

    ends = sorted(range(len(series)), key=lambda i: -series[i][2][-1][1])
    label_ys = dict(
        zip(ends, _apart([y_of(series[i][2][-1][1]) for i in ends], LABEL_HEIGHT), strict=True)
    )
    x_step = _step(span, 5)
    return LineChart(
        title=title,
        finding=finding,
        strokes=[
            Stroke(
                name=_shorten(name, 14),
                label=bits(points[-1][1]),
                style=style,
                points=[(x_of(x), y_of(y)) for x, y in points],
                label_y=label_ys[i],
                dot=(x_of(dot[0]), y_of(dot[1])) if dot else None,
            )
            for i, (name, style, points, dot) in enumerate(series)
        ],
        x_ticks=[(x_of(n * x_step), f"{n * x_step:g}") for n in range(int(span / x_step) + 1)],
        y_ticks=[
            (y_of(bottom + n * y_step), f"{bottom + n * y_step:.{1 if y_step >= 0.1 else 2}f}")
            for n in range(round((top - bottom) / y_step) + 1)
        ],
        table=[(name, _spread(points, N_ROWS)) for name, _, points, _ in series],
    )


def _dots(calibration: Calibration | None) -> list[Dot]:
    if calibration is None or not calibration.bins:
        return []
    most = max(b.n for b in calibration.bins) or 1
    return [
        Dot(
            x=round(SQUARE * min(1.0, max(0.0, b.said)), 1),
            y=round(SQUARE * (1 - min(1.0, max(0.0, b.was))), 1),
            radius=round(3 + 9 * math.sqrt(b.n / most), 1),  # the area shows the number
        )
        for b in calibration.bins[: 2 * N_ROWS]
    ]


def _step(span: float, n: int) -> float:
    """A round step that cuts `span` into about `n` parts: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(span / n))
    return next((m * power for m in (1, 2, 5) if span / (m * power) <= n), 10 * power)


def _apart(ys: Sequence[float], least: float) -> list[float]:
    """Ascending heights moved so that neighbours are `least` apart and none leaves the plot."""
    placed: list[float] = []
    for y in ys:
        placed.append(max(y, placed[-1] + least) if placed else max(0.0, y))
    limit = PLOT_HEIGHT
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = round(min(placed[i], limit), 1)
        limit = placed[i] - least
    return placed


def _thinned(points: Points) -> Points:
    return _spread(points, N_POINTS)


def _spread(items: Sequence[Any], at_most: int) -> tuple[Any, ...]:
    """At most so many of `items`, evenly spread, the first and the last among them."""
    if len(items) <= at_most:
        return tuple(items)
    last = len(items) - 1
    return tuple(items[round(i * last / (at_most - 1))] for i in range(at_most))


def _sound(points: Iterable[tuple[float, float]]) -> Points:
    """Without what a network says that has blown up: NaN, infinity, a hundred bits."""
    return tuple((x, y) for x, y in points if math.isfinite(x) and 0 <= y < 100)
