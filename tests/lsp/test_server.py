"""The language server as editors meet it: a real process, a real daemon, a tiny model."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from afterword_daemon.client import Connection
from afterword_trainer.paths import Paths
from clients import AUTOMATIC, SENTENCE, URI, Editor, Start
from daemons import WAIT, connect, eventually, odd, pid_of
from lsprotocol import types

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

CHATTY = {"eagerness": "chatty", "status": True}
REST = "se and the bridge was under water."
TEXT = SENTENCE * 20 + "The river ro"
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


async def test_cancel_storm(start: Start, daemon: Connection) -> None:
    """A thousand requests, nearly all cancelled: each is answered once, and the last in time."""
    editor = await opened(start)
    asked = []
    for number in range(1000):
        editor.type("The river rose "[number % 15])
        asked.append(editor.asking(id=f"storm {number}"))
        if number % 20:
            editor.client.cancel_request(types.CancelParams(f"storm {number}"))
        if number % 50 == 0:
            await asyncio.sleep(0)
    answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)
    assert len(answers) == 1000
    editor.open(TEXT)
    await editor.suggestion()
    assert n_heard(daemon)[1] == 1


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
    assert (await editor.run("whyNoSuggestion"))["reason"] == "off"
    editor.close()
    assert n_heard(daemon) == (0, 0)
    assert daemon.ask("status")["clients"] == 1  # this test


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
    """Accepted by command, accepted by the text alone, in part, and rejected."""

    def counts() -> tuple[int, int, int]:
        total = daemon.ask("stats")["total"]
        return total["accepted"], total["partly"], total["rejected"]

    editor = await opened(start)
    item = await editor.suggestion()
    assert item.command
    assert item.command.arguments
    await editor.run("accept", str(item.command.arguments[0]))
    assert counts() == (1, 0, 0)
    editor.open(TEXT)
    editor.type(str((await editor.suggestion()).insert_text))
    await editor.run("status")
    assert counts() == (2, 0, 0)
    editor.open(TEXT)
    editor.type(str((await editor.suggestion()).insert_text)[:2])
    editor.type("X")
    await editor.run("status")
    assert counts() == (2, 1, 0)
    editor.open(TEXT)
    await editor.suggestion()
    editor.type("X")
    await editor.run("status")
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


async def test_status(start: Start, paths: Paths) -> None:
    """A few words for a status line, and all that the daemon tells."""
    editor = await opened(start)
    status = await editor.run("status")
    assert (status["state"], status["enabled"]) == ("ready", True)
    assert status["daemon"]["pid"] == pid_of(paths)
    assert (await editor.run("whyNoSuggestion", URI))["reason"] == ""
    assert (await editor.run("whyNoSuggestion", "file:///none"))["reason"] == "no-document"
    assert "error" in await editor.run("conquer")


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
