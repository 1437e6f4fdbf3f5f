"""What passes between one editor's session and a daemon, and in which order."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import pytest_asyncio
from afterword_daemon.protocol import Ask, Changed, Close, Complete, Outcome, Remember
from afterword_lsp import session as sessions
from afterword_lsp.completion import Spot
from afterword_lsp.documents import MOST_CHARACTERS_IN_LINE, Change, Document, Position
from afterword_lsp.opened import OpenDocument
from afterword_lsp.orders import obeyed
from afterword_lsp.session import Session
from afterword_trainer.paths import Paths
from listening import Listening, until

pytestmark = pytest.mark.asyncio

TEXT = "The river rose.\n" * 40 + "The ri"
N_DOCUMENTS = 100
LONG = "The river rose and the bridge was under water.\n" * 4000  # 190,000 characters


@pytest_asyncio.fixture
async def daemon(paths: Paths) -> AsyncIterator[Listening]:
    """It is there before the session looks for it."""
    one = Listening()
    await one.open(paths)
    yield one
    one.close()


@pytest_asyncio.fixture
async def session(paths: Paths, daemon: Listening) -> AsyncIterator[Session]:
    """Of an editor that has just greeted; what it is told is in `statuses`."""
    one = Session(paths, statuses.append)
    statuses.clear()
    one.settle()
    yield one
    await one.close()


statuses: list[dict[str, Any]] = []


def document(name: str = "a", text: str = TEXT, language: str = "markdown") -> OpenDocument:
    return OpenDocument(
        uri=f"file:///{name}" if ":" not in name else name,
        document=Document(text, 1),
        path=name,
        language=language,
        editors_language=language,
    )


def type_into(session: Session, doc: OpenDocument, text: str) -> None:
    """At its end, as one change."""
    end = doc.document.position(doc.document.end)
    doc.document.apply(doc.document.version + 1, [Change(text, end, end)])
    session.changed(doc, doc.document.end)


async def ask(session: Session, doc: OpenDocument, *, invoked: bool = True) -> list[str] | None:
    """What comes at its end, which is shown from then on; None: superseded."""
    spot = Spot(start=doc.document.end, end=doc.document.end)
    completed = await session.suggest(doc, spot, invoked=invoked)
    if completed is None:
        return None
    session.show(doc, spot.end, completed.items)
    return [item.text for item in completed.items]


async def told(session: Session, daemon: Listening, *docs: OpenDocument) -> None:
    """Open documents, and wait until the daemon has their texts."""
    for doc in docs:
        session.opened(doc)
    await until(lambda: len(daemon.all(Remember)) >= len(docs))


# -- what the daemon is to forget --------------------------------------------------------------


async def test_a_document_is_closed_even_if_its_text_was_lost(
    session: Session, daemon: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that comes twice, a pause, and then the end: the daemon hears of the end."""
    monkeypatch.setattr(sessions, "PAUSE_S", 0.01)
    doc = document()
    await told(session, daemon, doc)
    doc.document.apply(1, [Change("x", Position(0, 0), Position(0, 0))])
    session.changed(doc, doc.document.end)
    await until(lambda: doc.pausing is None)
    session.closed(doc)
    await until(lambda: daemon.all(Close))
    assert [close.document for close in daemon.all(Close)] == [doc.name]


async def test_a_document_that_was_only_asked_about_is_closed_too(
    session: Session, daemon: Listening
) -> None:
    """Its text was not told, as it is not known for certain for a moment."""
    doc = document()
    doc.document.is_synced = False
    session.opened(doc)
    await until(lambda: session.is_connected)
    doc.document.is_synced = True
    assert await ask(session, doc)
    session.closed(doc)
    await until(lambda: daemon.all(Close))
    assert not daemon.all(Remember)


@pytest.mark.parametrize("how", ["close", "toggle"])
@pytest.mark.parametrize("what", ["asked", "warm"])
async def test_nothing_is_asked_after_the_end(
    session: Session, daemon: Listening, monkeypatch: pytest.MonkeyPatch, how: str, what: str
) -> None:
    """Not even what waited for a daemon to come up: off means zero requests."""
    monkeypatch.setattr(sessions, "AUTOMATIC_S", 10.0)
    monkeypatch.setattr(sessions, "WARM_S", 0.0)
    daemon.greets = False
    doc = document()
    session.opened(doc)
    asking = None
    if what == "asked":
        asking = asyncio.ensure_future(ask(session, doc))
        await until(lambda: doc.running)
    else:
        type_into(session, doc, "v")
        await until(lambda: doc.late)
    if how == "close":
        session.closed(doc)
    else:
        session.toggle()
    await until(lambda: daemon.heard)
    daemon.greet()
    other = document("b", language="python")
    session.toggle("python")
    if how == "close":
        session.toggle("python")
    await told(session, daemon, other)
    assert await ask(session, other)
    assert {message.document for message in daemon.all(Complete)} == {other.name}
    assert {message.document for message in daemon.all(Remember)} == {other.name}
    if asking:
        assert await asking in ([], None)


async def test_what_has_no_file_is_let_go(session: Session, daemon: Listening) -> None:
    """Nothing of it is told or asked, whatever happens, until it is opened anew or turned on."""
    doc = document("untitled:1")
    await told(session, daemon, doc)
    answer = await obeyed(session, "afterword.forgetFile", doc.uri)
    assert answer["let_go"] == doc.uri
    await until(lambda: daemon.all(Close))
    assert session.status(doc)["reason"] == "forgotten"
    type_into(session, doc, "v")
    session.saved(doc)
    daemon.say(Changed(state="ready", model="another"))
    assert await ask(session, doc) == []
    await session.ask("status")
    assert not daemon.all(Complete)
    assert len(daemon.all(Remember)) == 1
    await told(session, daemon, document("untitled:1"), document("untitled:2"))


@pytest.mark.parametrize("order", ["forgetFile", "learnWorkspace"])
async def test_a_path_that_is_too_long_is_refused_here(
    order: str, session: Session, daemon: Listening
) -> None:
    """In a sentence that blames nobody; the daemon is not asked."""
    for path in (f"file:///{'%FF/' * 2048}", f"/{'a/' * 2048}"):
        answer = await obeyed(session, f"afterword.{order}", path)
        assert "a path of 4,09" in answer["error"]
    assert not [one for one in daemon.all(Ask) if one.document]


async def test_a_file_is_forgotten_by_its_path(session: Session, daemon: Listening) -> None:
    """Which is what the daemon knows it by; whether it is open does not matter."""
    doc = document("notes/a%20b.md")
    await told(session, daemon, doc)
    for named in ("", doc.uri, "file:///notes/c.md", "/notes/c.md"):
        await obeyed(session, "afterword.forgetFile", named)
    asked = [one.document for one in daemon.all(Ask) if one.what == "forget"]

    assert asked == ["/notes/a b.md", "/notes/a b.md", "/notes/c.md", "/notes/c.md"]
    assert daemon.all(Remember)[0].document == "/notes/a b.md"
    assert await obeyed(session, "afterword.forgetFile", "untitled:1") == {
        "error": "no such document is open"
    }


# -- what it is told, and when -----------------------------------------------------------------


async def test_many_documents_are_told_one_after_another(
    session: Session, daemon: Listening
) -> None:
    """One in a turn of the loop, as the daemon reads them; a request is not held up by them."""
    first = document("first")
    await told(session, daemon, first)
    assert daemon.transport
    daemon.transport.pause_reading()
    docs = [document(str(number), LONG) for number in range(N_DOCUMENTS)]
    for doc in docs:
        session.opened(doc)
    n_told = 0
    for _ in range(2 * N_DOCUMENTS):
        await asyncio.sleep(0)
        n_before, n_told = n_told, sum(doc.is_current for doc in docs)
        assert n_told - n_before <= 1
    assert 0 < n_told < N_DOCUMENTS / 2  # the daemon does not read
    asking = asyncio.ensure_future(ask(session, first))
    await asyncio.sleep(0)
    daemon.transport.resume_reading()
    assert await asking
    await until(lambda: len(daemon.all(Remember)) == N_DOCUMENTS + 1)
    assert len({message.document for message in daemon.all(Remember)}) == N_DOCUMENTS + 1


async def test_saving_is_telling(session: Session, daemon: Listening) -> None:
    """At once, what was changed; without a change nothing."""
    doc = document()
    await told(session, daemon, doc)
    session.saved(doc)
    type_into(session, doc, "ver")
    session.saved(doc)
    await until(lambda: len(daemon.all(Remember)) == 2)
    assert daemon.all(Remember)[-1].text.endswith("The river")


@pytest.mark.parametrize(
    "changes",
    [
        [Changed(state="ready", model="another")],
        [Changed(state="paused", model="one"), Changed(state="ready", model="one")],
        [Changed(state="ready", model="one")],  # the settings were read anew
    ],
)
async def test_texts_are_told_again_where_the_daemon_may_have_lost_them(
    session: Session, daemon: Listening, changes: Iterable[Changed]
) -> None:
    """Another model has an empty memory, and who pauses passes over what comes."""
    docs = [document("a"), document("b")]
    await told(session, daemon, *docs)
    for change in changes:
        daemon.say(change)
    await until(lambda: len(daemon.all(Remember)) == 4)


async def test_manual_means_zero_requests(
    session: Session, daemon: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jumps, keys and pauses; the text is told, and asked is when the user asks."""
    monkeypatch.setattr(sessions, "PAUSE_S", 0.01)
    monkeypatch.setattr(sessions, "WARM_S", 0.0)
    session.configure({"trigger": "manual"})
    doc = document(text=TEXT * 20)
    await told(session, daemon, doc)
    for at in (0, 100, 300):
        place = Position(at, 0)
        doc.document.apply(doc.document.version + 1, [Change("x", place, place)])
        session.changed(doc, doc.document.place(place))
        await asyncio.sleep(0)
        assert await ask(session, doc, invoked=False) == []
    await until(lambda: len(daemon.all(Remember)) == 2)
    assert not daemon.all(Complete)
    assert await ask(session, doc)


@pytest.mark.parametrize("is_there", [True, False])
async def test_manual_for_all_editors_means_zero_requests_too(
    session: Session, daemon: Listening, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """As config.toml has it, not even of what waited for the daemon to come up and say so."""
    monkeypatch.setattr(sessions, "AUTOMATIC_S", 10.0)
    monkeypatch.setattr(sessions, "WARM_S", 0.0)
    daemon.news = Changed(state="ready", model="one", trigger="manual")
    daemon.greets = is_there
    doc = document()
    if is_there:
        await told(session, daemon, doc)
    else:
        session.opened(doc)
    type_into(session, doc, "v")
    asking = asyncio.ensure_future(ask(session, doc, invoked=False))
    if not is_there:
        await until(lambda: doc.running and daemon.heard)
        daemon.greet()
    assert await asking == []
    await session.ask("status")
    assert not daemon.all(Complete)
    assert await ask(session, doc)
    daemon.say(Changed(state="ready", model="one"))
    await until(lambda: not session.is_manual)
    assert await ask(session, doc, invoked=False)


async def test_a_language_that_is_off_for_all_editors_is_not_asked_about(
    session: Session, daemon: Listening
) -> None:
    """What was told of it is taken back; once it is on again it is told again."""
    text, code = document("a"), document("b", language="python")
    await told(session, daemon, text, code)
    daemon.say(Changed(state="learning", model="one", enable={"python": False}))
    await until(lambda: daemon.all(Close))
    assert [close.document for close in daemon.all(Close)] == [code.name]
    assert session.off(code) == "config"
    assert await ask(session, code) == []
    assert await ask(session, text)
    daemon.say(Changed(state="learning", model="one"))
    await until(lambda: daemon.all(Remember)[-1].document == code.name)
    assert await ask(session, code)


async def test_a_request_by_hand_has_all_of_its_time(session: Session, daemon: Listening) -> None:
    """An answer after more than a second is an answer."""
    doc = document()
    await told(session, daemon, doc)
    daemon.answers = False
    asking = asyncio.ensure_future(ask(session, doc))
    await until(lambda: daemon.unanswered)
    await asyncio.sleep(1.1)
    daemon.answer(daemon.unanswered[0])
    assert await asking == ["ver rose slowly"]


# -- what became of suggestions ----------------------------------------------------------------


async def test_an_editor_that_tells_is_not_second_guessed(
    session: Session, daemon: Listening
) -> None:
    """Once it has run the command, what appears in the text by itself is no acceptance."""

    def accepted() -> list[tuple[str, int]]:
        told = [outcome for outcome in daemon.all(Outcome) if outcome.event == "accepted"]
        return [(outcome.suggestion, outcome.characters) for outcome in told]

    doc = document()
    await told(session, daemon, doc)
    for n_told in (1, 1, 2):
        await ask(session, doc)
        assert doc.offer
        type_into(session, doc, doc.offer.best.text)
        assert doc.ended
        if n_told == 2:
            session.accepted(doc.ended.best.id)
        elif not accepted():
            await until(accepted)
            session.accepted(doc.ended.best.id)
    await session.ask("status")
    first, again, last = accepted()
    assert first == again
    assert last[0] != first[0]
    assert {n for _, n in accepted()} == {len("ver rose slowly")}


# -- settings ----------------------------------------------------------------------------------


async def test_later_settings_take_the_place_of_earlier_ones(session: Session) -> None:
    """What the greeting brought stays below them."""
    assert session.begin({"temperature": 1, "seed": 5}) == ()
    for settings, seed, alternatives in (
        ({"seed": 7, "alternatives": 2}, 7, 2),
        ({"alternatives": 3}, 5, 3),
        ({}, 5, None),
        ({"seed": None}, None, None),
    ):
        session.configure(settings)
        options = session.options
        assert (options.temperature, options.seed, options.alternatives) == (1, seed, alternatives)


async def test_the_status_is_that_of_where_one_works(session: Session) -> None:
    """A language may be on where the others are off."""
    session.configure({"enable": {"*": False, "python": True}})
    assert statuses[-1]["state"] == "off"
    text, code = document("a"), document("b", language="python")
    for doc, is_on in ((code, True), (text, False), (code, True)):
        if doc.uri in session.documents:
            type_into(session, doc, "x")
        else:
            session.opened(doc)
        assert statuses[-1]["enabled"] == is_on
        assert (statuses[-1]["state"] == "off") == (not is_on)
        assert statuses[-1]["uri"] == doc.uri  # an editor may know that one looks elsewhere
    session.closed(code)
    assert (statuses[-1]["state"], statuses[-1]["uri"]) == ("off", "")


async def test_who_asks_for_the_status_of_a_document_looks_at_it(session: Session) -> None:
    """From then on what is told is about it, also where settings change."""
    here, there = document("a"), document("b", language="python")
    session.opened(here)
    session.opened(there)
    session.closed(there)
    assert statuses[-1]["uri"] == ""
    answer = await obeyed(session, "afterword.status", here.uri)
    assert statuses[-1]["uri"] == here.uri
    assert answer["enabled"]
    assert "uri" not in answer  # it is copied to where others read it
    for is_on in (False, True):
        session.configure({"enable": {"markdown": is_on}})
        assert (statuses[-1]["uri"], statuses[-1]["enabled"]) == (here.uri, is_on)


@pytest.mark.parametrize(
    ("why", "settings", "toggled"),
    [
        ("", {}, []),
        ("off", {"enable": False}, []),
        ("language", {"enable": {"markdown": False}}, []),
        ("language", {}, ["markdown"]),
        ("buffer", {}, ["file:///a"]),
        ("", {"enable": False}, ["file:///a"]),
        ("", {}, ["file:///a", "file:///a"]),
        ("", {}, ["file:///a", ""]),
        ("off", {}, [""]),
        ("", {}, ["", ""]),
    ],
)
async def test_what_is_off_says_why(
    session: Session, why: str, settings: dict[str, Any], toggled: Iterable[str]
) -> None:
    """By the settings, or by what was turned off and on in the menu since."""
    session.configure(settings)
    doc = document()
    session.opened(doc)
    for what in toggled:
        session.toggle(what)

    assert statuses[-1]["reason"] == session.off(doc) == why
    assert statuses[-1]["state"] == {"": "starting", "off": "off"}.get(why, "off-here")
    assert session.is_on(doc) == (not why)


async def test_what_is_no_writing_is_not_read(session: Session, daemon: Listening) -> None:
    """Files for secrets, by their names, and what is too big; until it is not."""
    secret, big = document("secret"), document("big", "x" * (MOST_CHARACTERS_IN_LINE + 1))
    secret.is_secret = True
    session.opened(secret)
    assert statuses[-1]["reason"] == "secret-file"
    assert await ask(session, secret) == []
    session.opened(big)
    assert statuses[-1]["reason"] == "too-big"
    assert await ask(session, big) == []
    await session.ask("status")
    assert not daemon.all(Remember) + daemon.all(Complete)
    big.document.apply(2, [Change(TEXT)])
    session.changed(big, big.document.end)
    assert statuses[-1]["reason"] == ""
    assert await ask(session, big)
    type_into(session, big, "x" * (MOST_CHARACTERS_IN_LINE + 1))
    assert statuses[-1]["reason"] == "too-big"


async def test_how_quick_the_last_answer_was_is_known(session: Session, daemon: Listening) -> None:
    """It is told with the next status, and makes none by itself."""
    doc = document()
    await told(session, daemon, doc)
    assert session.status()["latency_ms"] is None
    n_before = len(statuses)
    await ask(session, doc)
    assert session.status()["latency_ms"] > 0
    daemon.say(daemon.news)
    await until(lambda: len(daemon.all(Remember)) == 2)
    assert len(statuses) == n_before


async def test_orders_are_obeyed_where_suggestions_are_off(
    session: Session, daemon: Listening
) -> None:
    """Whoever asks for something by hand wants it, and only that reaches the daemon."""
    session.configure({"enable": False})
    session.opened(document())
    await obeyed(session, "afterword.statistics", "")
    await obeyed(session, "afterword.settings", "")

    assert [one.what for one in daemon.all(Ask)] == ["stats", "status", "settings"]
    assert not daemon.all(Remember)
