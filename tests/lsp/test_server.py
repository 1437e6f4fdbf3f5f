"""The language server as editors meet it: a real process, a real daemon, a tiny model."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from afterword_daemon import config, protocol
from afterword_daemon.client import Connection
from afterword_daemon.protocol import Changed
from afterword_lsp import server as server_module
from afterword_lsp import stdio
from afterword_trainer.paths import Paths
from clients import AUTOMATIC, SENTENCE, TIMEOUT_S, URI, Editor, Start
from daemons import WAIT, connect, eventually, odd, pid_of
from listening import Listening, until
from lsprotocol import types

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

CHATTY = {"eagerness": "chatty", "status": True}
REST = "se and the bridge was under water."
TEXT = SENTENCE * 20 + "The river ro"
BY_LINE = SENTENCE * 20 + "The river rose and the"
REST_OF_LINE = " bridge was under water."
GHOST = {"textDocument": {"inlineCompletion": {}}}
MOST_RESIDENT = 60e6  # bytes of the language server, whatever is open


async def opened(start: Start, text: str = TEXT, **how: Any) -> Editor:
    """An editor with a text of which something is suggested."""
    editor = await start(how.pop("options", CHATTY), **how)
    editor.open(text)
    await editor.suggestion()
    return editor


def n_heard(daemon: Connection) -> tuple[int, int]:
    """Requests that reached the daemon, and documents that it knows of."""
    facts = daemon.ask("status")
    return sum(facts["requests"].values()), facts["documents"]


class Unwatched:
    """No editor to look after: it is this process."""

    def start(self, process: int | None) -> None: ...

    def end_soon(self) -> None: ...


Say = Callable[..., None]  # a method, its parameters, and an id if it is a request
Answers = dict[str | int, Any]  # by the id, which comes once


@asynccontextmanager
async def served(paths: Paths) -> AsyncIterator[tuple[server_module.Server, Say, Answers]]:
    """A server in this process, to be looked into, at the other end of two pipes."""
    answers: Answers = {}
    frames = stdio.Frames()
    in_reads, in_writes = os.pipe()
    out_reads, out_writes = os.pipe()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        for body in frames.feed(os.read(out_reads, 1 << 16)):
            message = json.loads(body)
            if "method" not in message:
                assert message["id"] not in answers
                answers[message["id"]] = message

    def say(method: str, params: object, id: str | int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(message if id is None else {**message, "id": id}).encode()
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    server = server_module.Server(paths, Unwatched())
    pipes = stdio.Pipes(server.wire.receive)
    server.protocol.set_writer(pipes)  # type: ignore[arg-type]
    await pipes.open(in_reads, out_writes)
    pipe = os.fdopen(in_writes, "wb", buffering=0)
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, pipe)
    loop.add_reader(out_reads, hear)
    try:
        yield server, say, answers
    finally:
        loop.remove_reader(out_reads)
        writer.abort()
        pipes.close()
        await server.session.close()
        await asyncio.sleep(0)
        for fd in (in_reads, out_reads, out_writes):
            with suppress(OSError):
                os.close(fd)


def change_at(say: Say, character: int, text: str) -> None:
    """In the last line of the document."""
    at = {"line": 20, "character": character}
    document = {"uri": URI, "version": character + 1}
    change = {"range": {"start": at, "end": at}, "text": text}
    say("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})


def ask_at(say: Say, character: int, id: str) -> None:
    """In the last line of the document."""
    params = {
        "textDocument": {"uri": URI},
        "position": {"line": 20, "character": character},
        "context": {"triggerKind": 1},
    }
    say("textDocument/inlineCompletion", params, id)


# -- suggestions -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_a_suggestion_goes_on_with_the_text(start: Start, encoding: str) -> None:
    """From no daemon at all, in the editor's own way to count characters."""
    editor = await opened(start, "😀é " + TEXT, encodings=[encoding])
    item = await editor.suggestion()
    assert REST.startswith(str(item.insert_text))
    editor.type("🦆 ", encoding=encoding)
    editor.type("The river ro", encoding=encoding)
    item = await editor.suggestion(encoding=encoding)
    at = editor.cursor(encoding)
    assert item.range == types.Range(at, at)
    assert await editor.end() == 0


async def test_ghost_text_is_for_those_who_draw_it_and_entries_for_the_others(
    start: Start,
) -> None:
    """Nobody is shown everything twice."""
    editor = await opened(start, ghost=False)
    [entry, *_] = await editor.entries()
    assert entry.label.startswith("rose"[: len(entry.label)])
    assert isinstance(entry.text_edit, types.TextEdit)
    assert entry.text_edit.range.start.character == editor.cursor().character - len("ro")
    drawing = await opened(start)
    assert not await drawing.entries()


async def test_nothing_is_an_empty_list(start: Start) -> None:
    """Not null, which would leave what is on the screen there; and a version out of order."""
    editor = await opened(start)
    editor.type("se", version=1)
    assert await editor.ask() == []
    assert (await editor.run("whyNoSuggestion"))["reason"] == "unsynced"
    editor.open(TEXT)
    await editor.suggestion()


async def test_after_a_jump_the_daemon_reads_before_anybody_asks(
    start: Start, daemon: Connection
) -> None:
    """For editors that ask only when the user rests."""
    editor = await start(CHATTY)
    editor.open(TEXT)
    await editor.until("ready")
    assert n_heard(daemon)[0] == 0
    editor.type("s")
    await editor.run("status")
    assert await asyncio.to_thread(eventually, lambda: n_heard(daemon)[0] == 1)


async def test_manual_means_when_asked(start: Start) -> None:
    """Nothing comes by itself."""
    editor = await opened(start, options={**CHATTY, "trigger": "manual"})
    assert await editor.ask(kind=AUTOMATIC) == []
    await editor.suggestion()


async def test_a_newer_request_supersedes_an_older_one(start: Start) -> None:
    """Null for those before, whatever the daemon is at; the last is answered."""
    editor = await opened(start)
    asked = []
    for character in REST:
        editor.type(character)
        asked.append(editor.asking())
    answers = await asyncio.gather(*asked)
    assert answers[-1] is not None
    assert answers.count(None) > 0


async def test_cancel_storm(paths: Paths) -> None:
    """A thousand requests, nearly all cancelled: each is answered once, and the last with a list.

    Nothing is kept of them, whoever could: neither a task nor a note of pygls.
    """
    async with served(paths) as (server, say, answers):
        say("initialize", {"processId": None, "capabilities": GHOST}, 1)
        say("initialized", {})
        item = {"uri": URI, "languageId": "markdown", "version": 0, "text": SENTENCE * 20}
        say("textDocument/didOpen", {"textDocument": item})
        ask_at(say, 0, "ready")
        await until(lambda: "ready" in answers)
        n_tasks = len(asyncio.all_tasks())
        for number in range(1000):
            change_at(say, number, "The river rose "[number % 15])
            ask_at(say, number + 1, f"storm {number}")
            if number % 20 and number < 999:
                say("$/cancelRequest", {"id": f"storm {number}"})
            if number % 50 == 0:
                say("workspace/didChangeConfiguration", {"settings": {"afterword": CHATTY}})
                await asyncio.sleep(0)
        await until(lambda: len(answers) == 1002)  # with the greeting and the first one
        assert isinstance(answers["storm 999"]["result"]["items"], list)
        await until(lambda: len(asyncio.all_tasks()) == n_tasks)
        # Its own notes; there is no other way to look at them.
        kept = server.protocol._request_futures
        assert [id for id, future in kept.items() if asyncio.isfuture(future)] == []
        assert len(kept) < 5  # of the greeting


async def test_odd_text_arrives_as_it_was_meant(start: Start, daemon: Connection) -> None:
    """Lines that end in two characters, emoji, and halves of them, all the way to the daemon."""
    windows = (SENTENCE * 20).replace("\n", "\r\n")
    options = {**CHATTY, "multiline": True}
    editor = await opened(
        start, windows + "😀 \ud83d and the bridge was under wat", options=options
    )

    # 1) a suggestion of several lines ends them as the document does
    goes_on = "er.\r\n" + windows

    async def suggested() -> str:
        while "\n" not in (text := str((await editor.suggestion()).insert_text)):
            pass
        return text

    text = await asyncio.wait_for(suggested(), TIMEOUT_S)
    assert goes_on.startswith(text)
    assert "\r\n" in text
    assert "\n" not in text.replace("\r\n", "")

    # 2) the halves of an emoji typed one after the other are one; places behind it are right
    editor.type("er.\r\n")
    for half in ("\ud83e", "\udd86"):
        editor.type(half)
    editor.type("é\r\nThe river rose and the")
    item = await editor.suggestion(encoding="utf-16")
    assert item.range == types.Range(editor.cursor(), editor.cursor())
    assert item.range.start.character == len("The river rose and the")

    # 3) the daemon could take all of it, and the text is still held to be the editor's
    editor.save()
    await editor.suggestion()
    assert (await editor.run("whyNoSuggestion"))["reason"] == ""
    assert n_heard(daemon)[1] == 1


async def test_saving_is_announced_and_heard_of(paths: Paths) -> None:
    """The daemon is told at once then; without it after a pause."""
    async with served(paths) as (server, say, answers):
        say("initialize", {"processId": None, "capabilities": GHOST}, 1)
        say("initialized", {})
        item = {"uri": URI, "languageId": "markdown", "version": 0, "text": SENTENCE * 20}
        say("textDocument/didOpen", {"textDocument": item})
        await until(lambda: URI in server.session.documents)
        document = server.session.documents[URI]
        await until(lambda: document.is_current)
        change_at(say, 0, "x")
        await until(lambda: document.changed_at)
        say("textDocument/didSave", {"textDocument": {"uri": URI}})
        await until(lambda: document.changed_at is None)
        capabilities = answers[1]["result"]["capabilities"]
        assert capabilities["textDocumentSync"]["save"]
        assert capabilities["completionProvider"]  # an empty one is none to some editors


@pytest.mark.parametrize("name", [b"a letter.md", b"caf\xe9 100%25\n.md "])
async def test_a_file_can_be_forgotten(
    name: bytes, start: Start, daemon: Connection, tmp_path: Path
) -> None:
    """What its text made likely is suggested no more; nor in another window, or when opened anew.

    Then the end is told, and what came of it.
    """
    file = tmp_path / os.fsdecode(name)
    file.write_text(BY_LINE)
    editor, other = await start(CHATTY), await start(CHATTY)
    for one in (editor, other):
        one.open(BY_LINE, uri=file.as_uri())
        await one.suggestion(REST_OF_LINE)
    assert await editor.run("forgetFile") == {"forgetting": protocol.name_of(str(file))}

    async def is_gone(one: Editor) -> None:
        while REST_OF_LINE in (await one.ask() or ()):
            pass

    async def outcome() -> str:
        while not (status := await editor.statuses.get()).forgotten:
            pass
        return str(status.forgotten)

    for one in (editor, other):
        await asyncio.wait_for(is_gone(one), TIMEOUT_S)
        one.close()
        one.open(BY_LINE, uri=file.as_uri())
        one.save()
        assert REST_OF_LINE not in (await one.ask() or ())
    assert await asyncio.wait_for(outcome(), TIMEOUT_S)


async def test_forgetting_is_work_in_progress(start: Start, paths: Paths) -> None:
    """With what came of it at its end."""
    daemon = Listening()
    await daemon.open(paths)
    editor = await start(CHATTY, progress=True)
    editor.open(TEXT)
    await editor.until("ready")
    seen: dict[Any, list[Any]] = editor.client.progress_reports
    for news in (
        Changed(state="forgetting"),
        Changed(state="forgetting", progress=0.5),
        Changed(state="ready", forgotten="the model was made without it"),
    ):
        daemon.say(news)
        n_before = sum(map(len, seen.values()))
        await until(lambda n=n_before: sum(map(len, seen.values())) > n)
    daemon.close()

    [[begin, report, end]] = seen.values()
    assert (begin.title, begin.percentage, report.percentage) == ("Afterword forgets", 0, 50)
    assert end.message == "the model was made without it"


@pytest.mark.parametrize("uri", [URI, "untitled:1"])
async def test_what_was_never_saved_is_let_go(start: Start, daemon: Connection, uri: str) -> None:
    """It was never learned for good, and there is no suggestion in it any more."""
    editor = await start(CHATTY)
    editor.open(TEXT, uri=uri)
    await editor.suggestion()
    assert (await editor.run("forgetFile", uri))["let_go"] == uri
    assert (await editor.run("status", uri))["reason"] == "forgotten"
    assert await editor.ask() == []
    assert n_heard(daemon)[1] == 0
    assert "error" in await editor.run("forgetFile", f"{uri}-that-is-not-open")


@pytest.mark.parametrize("argument", [5, False, {}, {"uri": URI}, [URI]])
async def test_what_is_no_name_is_no_document(
    start: Start, daemon: Connection, argument: Any
) -> None:
    """It is refused, and not taken for the document that was worked on; null is taken so."""
    editor = await start(CHATTY)
    editor.open(TEXT)
    await editor.suggestion()
    assert "its argument is a text" in (await editor.run("forgetFile", argument))["error"]
    assert (await editor.run("status"))["reason"] != "forgotten"
    assert (await editor.run("forgetFile", None))["let_go"] == URI


# -- off ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"options": {"enable": {"markdown": False}}},
        {"options": {"enable": False}},
        {"settings": {"enable": {"*": False}}},
        {"options": {"enable": True}, "settings": {"enable": {"*": True, "markdown": False}}},
    ],
)
async def test_off_means_zero_requests(
    start: Start, daemon: Connection, how: dict[str, Any]
) -> None:
    """Opening, typing, asking and closing: the daemon hears nothing of it."""
    editor = await start(how.pop("options", None), **how)
    editor.open(TEXT)
    for character in REST:
        editor.type(character)
    assert await editor.ask() == []
    assert await editor.entries() == []
    assert (await editor.run("whyNoSuggestion"))["reason"] in ("off", "language")
    editor.close()
    assert n_heard(daemon) == (0, 0)
    assert daemon.ask("status")["clients"] == 1  # this test


@pytest.mark.parametrize(
    ("settings", "n_known"), [('trigger = "manual"', 1), ("[enable]\nmarkdown = false", 0)]
)
async def test_off_for_all_editors_means_zero_requests_too(
    start: Start, paths: Paths, settings: str, n_known: int
) -> None:
    """What config.toml says is known before the first key is asked about."""
    paths.config.mkdir(parents=True, exist_ok=True)
    config.path_of(paths).write_text(settings)
    editor = await start(CHATTY)
    editor.open(TEXT)
    for character in REST:
        editor.type(character)
        await editor.ask(kind=AUTOMATIC)
    await editor.until("ready" if n_known else "off-here")
    with connect(paths) as daemon:
        assert await asyncio.to_thread(eventually, lambda: n_heard(daemon) == (0, n_known))


async def test_a_file_for_secrets_is_not_read(start: Start, daemon: Connection) -> None:
    """Nothing of it leaves the editor's own process."""
    editor = await start(CHATTY)
    editor.open(TEXT, uri="file:///home/u/project/.env.local")
    for character in REST:
        editor.type(character)
    assert await editor.ask() == []
    assert (await editor.run("whyNoSuggestion"))["reason"] == "secret-file"
    assert n_heard(daemon) == (0, 0)


async def test_toggling_off_makes_the_daemon_forget(start: Start, daemon: Connection) -> None:
    """And toggling on makes it know again."""
    editor = await opened(start)
    n_before, n_documents = n_heard(daemon)
    assert n_documents == 1
    assert (await editor.run("toggle", "markdown"))["enabled"] is False
    assert await editor.ask() == []
    assert n_heard(daemon) == (n_before, 0)
    assert (await editor.run("toggle", "markdown"))["enabled"] is True
    await editor.suggestion()
    assert (await editor.run("toggle"))["enabled"] is False
    await editor.until("off")
    assert n_heard(daemon)[1] == 0


async def test_settings_that_change_hold_at_once(start: Start, daemon: Connection) -> None:
    """Pushed by the editor."""
    editor = await opened(start)
    for enable, n_documents in ((False, 0), (True, 1)):
        editor.client.workspace_did_change_configuration(
            types.DidChangeConfigurationParams({"afterword": {"enable": {"*": enable}}})
        )
        if enable:
            await editor.suggestion()
        else:
            assert await editor.ask() == []
        assert n_heard(daemon)[1] == n_documents


@pytest.mark.parametrize("options", [["eagerness"], {"eagerness": "loud", "enable": 3}, "x"])
async def test_wrong_settings_are_one_message(start: Start, options: Any) -> None:
    """And the defaults hold."""
    editor = await start(options)
    editor.open(TEXT)
    await editor.ask()
    assert len(editor.client.messages) == 1
    assert editor.client.messages[0].type == types.MessageType.Warning


# -- what became of suggestions ----------------------------------------------------------------


async def test_what_becomes_of_suggestions_is_counted(start: Start, daemon: Connection) -> None:
    """Accepted, in part, and rejected, by the text alone; and accepted by command."""

    def counts() -> tuple[int, int, int]:
        total = daemon.ask("stats")["total"]
        return total["accepted"], total["partly"], total["rejected"]

    editor = await opened(start, BY_LINE)
    for typed, expected in (
        ((REST_OF_LINE,), (1, 0, 0)),
        ((" bridge was under", "X"), (1, 1, 0)),
        (("X",), (1, 1, 1)),
        ((" b", "ri"), (1, 1, 1)),  # quick hands
    ):
        editor.open(BY_LINE)
        await editor.suggestion(REST_OF_LINE)
        for text in typed:
            editor.type(text)
        await editor.run("status")
        assert counts() == expected
    item = await editor.suggestion()
    assert item.command
    assert item.command.arguments
    await editor.run("accept", str(item.command.arguments[0]))
    assert counts() == (2, 1, 1)


# -- the daemon --------------------------------------------------------------------------------


async def test_a_killed_daemon_is_started_again(start: Start, paths: Paths) -> None:
    """In the middle of a request: that one is answered with nothing, and typing goes on."""
    connect(paths, *odd()).close()
    editor = await opened(start)
    await editor.until("ready")
    editor.type(WAIT)
    asked = editor.asking()
    await asyncio.sleep(0)
    os.kill(pid_of(paths), signal.SIGKILL)
    answer = await asyncio.wait_for(asked, 10)
    assert answer is None or not answer.items
    await editor.until("ready")
    editor.open(TEXT)
    await editor.suggestion()
    assert await editor.end() == 0


async def test_without_a_daemon_typing_is_not_disturbed(
    start: Start, paths: Paths, tmp_path: Path
) -> None:
    """It cannot be started here; the editor hears so in its status and nowhere else."""
    paths.data.parent.joinpath("data").write_text("a file where a folder should be")
    editor = await start(CHATTY)
    editor.open(TEXT)
    editor.type("se")
    assert await editor.ask() == []
    status = await editor.until("unavailable")
    assert status.detail
    assert (await editor.run("whyNoSuggestion"))["reason"] == "no-daemon"
    assert editor.client.messages == []
    assert await editor.end() == 0


async def test_a_folder_is_learned_from_when_the_editor_asks(
    start: Start, paths: Paths, daemon: Connection, tmp_path: Path
) -> None:
    """As if it had been named in the terminal; one that is not there is named in the answer."""
    editor = await opened(start)
    assert "error" in await editor.run("learnWorkspace")  # no folder is open in this editor
    answer = await editor.run("learnWorkspace", str(tmp_path / "none"))
    assert "no such folder" in answer["error"]
    answer = await editor.run("learnWorkspace", tmp_path.as_uri())

    assert answer == {"watched": [str(tmp_path)]}
    assert [one.path for one in daemon.status().watched] == [str(tmp_path)]


async def test_status(start: Start, paths: Paths) -> None:
    """A few words for a status line, and all that the daemon tells."""
    editor = await opened(start)
    status = await editor.run("status")
    assert (status["state"], status["enabled"]) == ("ready", True)
    assert status["daemon"]["pid"] == pid_of(paths)
    assert (await editor.run("whyNoSuggestion", URI))["reason"] == ""
    assert (await editor.run("whyNoSuggestion", "file:///none"))["reason"] == "no-document"
    assert "error" in await editor.run("conquer")


async def test_statistics_are_those_of_the_terminal(start: Start, environment: Any) -> None:
    """As `afterword stats --json` prints them."""
    editor = await opened(start)
    command = [sys.executable, "-m", "afterword_daemon.cli", "stats", "--json"]
    printed = await asyncio.to_thread(subprocess.check_output, command, env=environment)
    statistics = await editor.run("statistics")
    assert statistics.keys() == json.loads(printed).keys()
    assert statistics["latency_ms"]["p50"] > 0


async def test_settings_are_there_to_be_edited(start: Start, paths: Paths) -> None:
    """A file with a comment on each, where there was none; what the user wrote stays."""
    editor = await start(CHATTY)
    file = config.path_of(paths)
    assert await editor.run("settings") == {"file": str(file)}
    assert "#trigger" in file.read_text()
    file.write_text("temperature = 1\n")
    assert await editor.run("settings") == {"file": str(file)}
    assert file.read_text() == "temperature = 1\n"


# -- what it costs and what it keeps to itself -------------------------------------------------


async def test_it_stays_small(start: Start) -> None:
    """Serving, with documents open."""
    editor = await opened(start, SENTENCE * 1000 + TEXT)
    assert psutil.Process(editor.server_pid).memory_info().rss < MOST_RESIDENT


async def test_no_text_is_logged(start: Start, tmp_path: Path, capfd: Any) -> None:
    """Not in the log at its most talkative, not in what goes wrong."""
    log = tmp_path / "lsp.log"
    editor = await opened(start, arguments=["--log-file", str(log)])
    canary = "CANARY-7413"
    editor.type(canary)
    await editor.ask()
    for params in ({"textDocument": canary}, {"position": canary}, [canary], canary, None):
        for method in ("textDocument/didChange", "textDocument/didOpen", canary):
            editor.send({"jsonrpc": "2.0", "method": method, "params": params})
            editor.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    editor.send({"jsonrpc": canary, canary: canary})
    editor.send([canary])
    assert await editor.ask() is not None
    assert await editor.end() == 0
    written = log.read_text() + "".join(capfd.readouterr())
    assert "not as LSP has it" in written
    assert canary not in written
