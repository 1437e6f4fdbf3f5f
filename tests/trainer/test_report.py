"""The report: whole, self-contained, harmless whatever it shows, and small."""

import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from afterword_trainer import report
from afterword_trainer.records import BaseBits, Evaluated, Noticed, Record, Stepped
from afterword_trainer.report import (
    Bin,
    Calibration,
    Count,
    Degree,
    Learning,
    Network,
    Offer,
    Opening,
    Reading,
    ReportData,
    Sample,
    Score,
    render,
)
from hypothesis import given, settings
from hypothesis import strategies as st

CURVE = ((0.5, 3.5), (1.0, 2.5), (2.0, 2.0), (3.0, 2.1))
DATA = ReportData(
    model="you-3",
    made="21 November 2026",
    summary="LSTM 2 × 512",
    reading=Reading(
        files=371,
        characters=1_920_000,
        heldout_characters=101_000,
        languages=(Count(name="Markdown", files=288),),
        folders=(Count(name="journal", files=142),),
        skipped=(Count(name="binary", files=9),),
        secrets=14,
    ),
    scores=(
        Score(
            name="you-3",
            note="this model",
            bits=1.712,
            saved=37.8,
            accepted=51,
            ksr=(50.9, 60.1, 65.4),
            ours=True,
        ),
        Score(name="LSTM", saved=33.0, part=True),
        Score(name="word trigram", saved=26.4),
        Score(name="PPMd", note="order 12", bits=1.798),
    ),
    dial=(
        Degree(name="chatty", min_probability=0.0, saved=38.0, accepted=27),
        Degree(name="", min_probability=0.2, saved=35.0, accepted=45),
        Degree(name="quiet", min_probability=0.5, saved=28.0, accepted=61),
    ),
    measured_characters=20_000,
    learning=Learning(
        train=CURVE,
        heldout=CURVE,
        start_bits=2.9,
        best=(2.0, 2.0),
        prompt="The thing about",
        openings=(Opening(seconds=30, text="the the"), Opening(seconds=180, text="June")),
        notices=("a step was skipped",),
    ),
    samples=(
        Sample(prompt="The thing", temperature=0.0, text="it is what it is, " * 8),
        Sample(prompt="The thing", temperature=0.8, text="that nobody weeds"),
    ),
    offers=(
        Offer(before="about the ", offered="garden", written="garden gate"),
        Offer(before="it was the ", offered="first", written="worst soup"),
        Offer(before="Ask ", offered="", written="Beatriz"),
    ),
    calibration=Calibration(bins=(Bin(said=0.8, was=0.77, n=400),), silent=0.48),
    networks=(
        Network(
            name="LSTM",
            n_parameters=3_600_000,
            bits=2.0,
            symbols_per_s=8400,
            minutes=4,
            heldout=CURVE,
            ours=True,
        ),
        Network(
            name="GRU",
            n_parameters=2_700_000,
            bits=2.1,
            symbols_per_s=9900,
            minutes=4,
            heldout=CURVE,
        ),
    ),
    machine=(("Processor", "two cores"),),
    command="trainer learn notes --seed 0",
    previous="you-2",
)
UNITS = ["character", "symbol", "symbol", "symbol", "character", "symbol", "symbol"]
VOID = {"meta", "br", "rect", "line", "circle", "polyline"}
# Tags, quotes, templates, controls, text that reorders: what breaks out of a page, if anything can.
FRAGMENTS = [
    "<script>alert(1)</script>",
    "'\"><img src=http://example.org onerror=x>",
    "</style></title></svg>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;&#0;",
    "\x00\x1b[2J\x7f\x9b",
    "\u202e\u2066\u200f\ufeff",
    "\ud800",
    "\r\n\t ",
    "javascript:",
]
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
HOSTILE = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=40)), max_size=8).map(
    "".join
)


class Page(HTMLParser):
    """A parsed page: tags with attributes, text, and whether every tag is closed in turn."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]


def everywhere(value: Any, text: str) -> Any:
    """`value` with `text` in the place of every string."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(everywhere(item, text) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: everywhere(getattr(value, f.name), text) for f in fields(value)}
        )
    return value


def test_the_page_is_whole() -> None:
    """Balanced, one first heading, every id once, every reference to an id that exists."""
    page = Page(render(DATA))
    ids = page.ids()
    links = [a["href"] or "" for tag, a in page.tags if tag == "a"]
    named = " ".join(a.get("aria-labelledby") or "" for _, a in page.tags).split()

    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert sorted(set(ids)) == sorted(ids)
    assert {link.removeprefix("#") for link in links} | set(named) <= set(ids)


def test_nothing_is_loaded_and_nothing_runs() -> None:
    """A page that opens offline: no address, no script, and a policy that forbids both."""
    html = render(DATA)
    page = Page(html)
    policies = [a["content"] for tag, a in page.tags if "http-equiv" in a and tag == "meta"]

    assert "default-src 'none'" in str(policies[0])
    assert "://" not in html
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    assert re.findall(r"url\((?!#)", html) == []
    assert all(not name.startswith("on") for _, a in page.tags for name in a)


@settings(max_examples=40)
@given(HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    """In whatever field it stands, it adds no tag, no attribute and no character that acts."""
    html = render(everywhere(DATA, text))
    page = Page(html)
    plain = Page(render(DATA))

    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    assert {name for _, a in page.tags for name in a} <= {n for _, a in plain.tags for n in a}
    assert all((a.get("href") or "#").startswith("#") for _, a in page.tags)
    assert html == html.encode().decode()
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", html
    )


def test_hostile_text_is_still_readable() -> None:
    """Escaped once, not twice; controls as their pictures."""
    text = "<b>&amp;\x1b"
    page = Page(render(replace(DATA, samples=(Sample(prompt="p", temperature=1, text=text),))))

    assert "<b>&amp;␛" in page.text


@pytest.mark.parametrize("character", ["&", "語"])
def test_the_file_stays_small(character: str) -> None:
    """However much was read and sampled, 300 KB is the end of it."""
    curve = tuple((i / 7, 2 + 1 / (i + 1)) for i in range(5000))
    base = everywhere(DATA, character * 5000)
    learned = replace(
        base.learning, train=curve, heldout=curve, openings=base.learning.openings * 99
    )
    samples = tuple(
        Sample(prompt=f"{n}{character * 5000}", temperature=t, text=character * 5000)
        for n in range(9)
        for t in (0.0, 0.3, 0.8, 1.0, 1.3, 1.8, 2.0)
    )
    reading = replace(
        base.reading,
        languages=base.reading.languages * 99,
        folders=base.reading.folders * 99,
        skipped=base.reading.skipped * 99,
    )
    html = render(
        replace(
            base,
            learning=learned,
            samples=samples,
            reading=reading,
            scores=base.scores * 99,
            offers=base.offers * 99,
            networks=tuple(replace(n, heldout=curve) for n in base.networks) * 99,
            machine=base.machine * 99,
        )
    )

    assert len(html.encode()) <= 300_000


def test_without_excerpts_no_text_of_the_user_is_left() -> None:
    """Prompts, samples, lines, folders and the command are gone; numbers and reasons stay."""
    private = "Zwetschgenkuchen"
    reading, learned = DATA.reading, DATA.learning
    assert reading is not None
    assert learned is not None
    data = replace(
        DATA,
        samples=everywhere(DATA.samples, private),
        offers=everywhere(DATA.offers, private),
        command=private,
        reading=replace(reading, folders=everywhere(reading.folders, private)),
        learning=replace(learned, prompt=private, openings=everywhere(learned.openings, private)),
    )
    html = render(data, include_excerpts=False)

    assert render(data).count(private) > 10
    assert private not in html
    assert "No text of yours is in this file" in html
    assert "Markdown" in html
    assert "binary" in html
    assert "26.4" in html


def test_with_excerpts_the_first_line_says_so() -> None:
    """Nobody shares their diary by mistake."""
    body = render(DATA).partition("<body>")[2]

    assert "This file contains lines of your own text" in body.partition("<h1>")[0]


def test_sections_without_data_are_left_out() -> None:
    """A report on next to nothing is a short one, not a broken one."""
    page = Page(render(ReportData(model="you-1", made="today")))

    assert [a["id"] for tag, a in page.tags if tag == "section"] == ["undo", "words"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (DATA.scores, "Afterword saves you 38 keystrokes in 100"),
        (DATA.scores[:1], "Afterword saves you 38 keystrokes in 100"),
        ((Score(name="you-3", bits=1.7123, ours=True),), "1.71 bits for each character you write"),
        ((), "Afterword has read 1.92 million characters of yours"),
    ],
)
def test_the_headline(scores: tuple[Score, ...], expected: str) -> None:
    """The best thing that is known stands first."""
    assert f"<h1>{expected}</h1>" in render(replace(DATA, scores=scores))


def test_a_baseline_that_is_ahead_is_named() -> None:
    """A report flatters nobody."""
    scores = (Score(name="you-3", saved=20.0, ours=True), Score(name="word trigram", saved=26.4))

    assert "A simpler method is still ahead: word trigram saves 26." in render(
        replace(DATA, scores=scores)
    )


def test_a_note_says_which_of_several_it_is() -> None:
    """Beside its bar where it has one, and always in the table."""
    page = Page(render(DATA))

    assert page.text.count("PPMd, order 12") == 1
    assert page.text.count("you-3, this model") == 1


def test_a_hundred_keys() -> None:
    """26 that the baseline saves as well, 12 of our own, 62 that are left."""
    classes = [a.get("class") for tag, a in Page(render(DATA)).tags if tag == "rect"]

    assert tuple(  # one more of each stands in the legend
        classes.count(style) for style in ("both", "ours", "yours")
    ) == (26 + 1, 12 + 1, 62 + 1)


def test_greedy_cycling_is_marked() -> None:
    """The reader sees where greedy decoding goes round in circles, and only there."""
    html = render(DATA)

    assert html.count("it repeats itself from here") == 1


def test_a_run_becomes_curves() -> None:
    """Records in, minutes and bits out; no learning before the first step, nor without a number."""

    def stepped(seconds: float, bits: float) -> Stepped:
        return Stepped(
            seconds=seconds,
            share=0.1,
            seconds_left=None,
            symbols=1,
            symbols_per_s=1.0,
            epoch=0.1,
            train_bits=bits,
            memory_mb=1.0,
        )

    def evaluated(seconds: float, bits: float, best: bool, sample: str) -> Evaluated:
        return Evaluated(
            seconds=seconds,
            share=seconds / 600,
            epoch=0.1,
            train_bits=bits,
            heldout_bits=bits,
            best=best,
            prompt="p",
            sample=sample,
        )

    records: list[Record] = [
        evaluated(0.0, 5.0, True, "none"),
        stepped(30.0, 4.0),
        stepped(45.0, float("nan")),
        evaluated(60.0, 3.0, True, "one"),
        Noticed(seconds=61.0, message="smaller batch"),
        evaluated(120.0, 3.5, False, "two"),
        BaseBits(seconds=120.0, before=2.25, after=2.31),
    ]

    assert report.learning(records) == Learning(
        train=((0.5, 4.0), (1.0, 3.0), (2.0, 3.5)),
        heldout=((0.0, 5.0), (1.0, 3.0), (2.0, 3.5)),
        start_bits=5.0,
        best=(1.0, 3.0),
        prompt="p",
        openings=(
            Opening(seconds=0.0, text="none"),
            Opening(seconds=60.0, text="one"),
            Opening(seconds=120.0, text="two"),
        ),
        notices=("smaller batch",),
        kept="on the base model's own text 2.25 bits per symbol before and 2.31 after",
    )


def test_curves_and_scores_name_their_units() -> None:
    """Training counts symbols, scores count characters; the page says which is which."""
    html = render(DATA)
    headings = re.findall(r"bits per \w+</th>", html)

    assert "from 3.50 to 2.00 bits per symbol" in html
    assert "LSTM came lowest, at 2.00 bits per symbol on held-out text" in html
    # Scores; the start, held out and learning; the networks, and a curve of each.
    assert headings == [f"bits per {unit}</th>" for unit in UNITS]


def test_the_whole_curve_is_drawn() -> None:
    """The held-out line runs from its first to its last minute."""
    page = Page(render(replace(DATA, dial=())))
    lines = [a["points"] or "" for tag, a in page.tags if tag == "polyline"]
    xs = [[float(point.split(",")[0]) for point in line.split()] for line in lines]

    assert all(x[0] < 100 and x[-1] == 440 for x in xs)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.floats(-1, 1e9) | st.just(float("nan"))), max_size=5
    ).map(tuple)
)
def test_any_curve_can_be_drawn(points: tuple[tuple[float, float], ...]) -> None:
    """One point, equal points, absurd points: a page, never an error."""
    run = Learning(train=points, heldout=points, start_bits=points[0][1] if points else None)
    Page(render(ReportData(model="m", made="t", learning=run)))
