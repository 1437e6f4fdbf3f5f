"""What passes between one editor's session and a daemon, and in which order."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import pytest_asyncio
from afterword_daemon.protocol import Ask, Changed, Close, Complete, Outcome, Remember
from afterword_lsp import session as sessions
from afterword_lsp.completion import Spot
from afterword_lsp.documents import Change, Document, Position
from afterword_lsp.session import OpenDocument, Session
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
        uri=f"file:///{name}",
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
    assert [close.document for close in daemon.all(Close)] == [doc.uri]


async def test_a_document_that_was_only_asked_about_is_closed_too(
    session: Session, daemon: Listening
) -> None:
    """Its text was not told, as the user had it forgotten."""
    doc = document()
    doc.is_forgotten = True
    session.opened(doc)
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
        session.toggle(None)
    daemon.greet()
    other = document("b", language="python")
    session.toggle("python")
    if how == "close":
        session.toggle("python")
    await told(session, daemon, other)
    assert await ask(session, other)
    assert {message.document for message in daemon.all(Complete)} == {other.uri}
    assert {message.document for message in daemon.all(Remember)} == {other.uri}
    if asking:
        assert await asking in ([], None)


async def test_a_file_that_is_forgotten_is_not_told_again(
    session: Session, daemon: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after a pause, not after saving; nor is it to learn what is typed. Opened anew it is."""
    monkeypatch.setattr(sessions, "PAUSE_S", 0.01)
    doc = document()
    await told(session, daemon, doc)
    await session.forget(doc)
    assert [(one.what, one.document) for one in daemon.all(Ask)] == [("forget", doc.uri)]
    type_into(session, doc, "v")
    session.saved(doc)
    await until(lambda: doc.pausing is None)
    assert await ask(session, doc)
    assert len(daemon.all(Remember)) == 1
    anew = document()
    session.opened(anew)
    await until(lambda: len(daemon.all(Remember)) == 2)
    assert await ask(session, anew)
    assert [complete.learn for complete in daemon.all(Complete)] == [False, True]


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
    session.closed(code)
    assert statuses[-1]["state"] == "off"
