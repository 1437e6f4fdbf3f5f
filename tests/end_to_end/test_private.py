"""Nothing leaves the machine, and no text of the user lies where they did not put it."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from afterword_daemon import client, endpoint
from afterword_trainer.paths import Paths
from clients import COMMAND, SENTENCE
from daemons import FAIL, WAIT, connect, eventually, lives, pid_of, request
from desk import TEXT, Desk, Seat, environment

AFTERWORD = (sys.executable, "-m", "afterword_daemon.cli")
CANARY = "Zinnoberkäfer-4711"

pytestmark = pytest.mark.slow


# -- the network -------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_net(seat: Seat, paths: Paths) -> None:
    """From the first command to the last, in every process: all sockets are local, and ours."""
    trace = paths.data.parent / "trace"
    strace = ("strace", "-D", "-f", "-qq", "-e", "trace=%network", "-A", "-o", str(trace))
    traced(strace, paths, "complete", "--prompt", "The river r")  # which starts the daemon
    daemon = pid_of(paths)
    desk = seat(*strace, *COMMAND)
    desk.open(TEXT)
    desk.until_known()
    desk.type("se and")
    desk.suggestions()
    assert desk.run("status")["daemon"]["network"] == 0
    assert desk.leave() == 0
    for command in ("status", "doctor", "stats", "stop"):
        traced(strace, paths, command)
    assert eventually(lambda: not lives(daemon))

    calls = trace.read_text(errors="replace")
    asked = re.findall(r" socket(?:pair)?\((\w+),.*= (\S+(?: \w+)?)", calls)
    assert len(asked) == calls.count(" socket(") + calls.count(" socketpair(") > 10
    # The daemon's probe at its start asks for two, and must not get them.
    refused = [("AF_INET", "-1 EACCES"), ("AF_INET6", "-1 EACCES")]
    assert [one for one in asked if one[0] != "AF_UNIX"] == refused
    ours = {str(path) for path in endpoint.candidates(paths)}
    reached = re.findall(r'(?:connect|bind|sendto|sendmsg)\(.*sun_path="([^"]*)"', calls)
    assert set(reached) <= ours
    assert len(reached) > 5
    assert calls.count(" connect(") + calls.count(" bind(") == len(reached)


def traced(strace: tuple[str, ...], paths: Paths, *arguments: str) -> None:
    """The command line, to its end; what watches it may stay with the daemon that it started."""
    subprocess.run(
        [*strace, *AFTERWORD, *arguments],
        env=environment(paths),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )


# -- what is written ---------------------------------------------------------------------------

# As talkative as they can be: every logger at its lowest level, whatever is set later; and the loop
# tells of every slow step, with all that it was given.
TALKATIVE = """
import logging, sys
logging.getLogger().setLevel(logging.DEBUG)
logging.Logger.setLevel = lambda *_: None
logging.Logger.isEnabledFor = lambda *_: True
"""
SERVER = TALKATIVE + "from afterword_lsp.__main__ import main; sys.exit(main(sys.argv[1:]))"
# With the marks that an odd daemon obeys: see daemons.py.
DAEMON = (
    TALKATIVE + "import daemons; from afterword_daemon import process; daemons._be_odd({});"
    "sys.exit(process.main(sys.argv[1:]))"
)


def test_leak_grep(paths: Paths, seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed, pasted, prompted, asked about, refused, crashed upon: it is in no file of ours."""
    home = paths.data.parent
    path = os.pathsep.join(sys.path)
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    connect(paths, sys.executable, "-c", DAEMON).close()
    log = home / "lsp.log"
    desk = seat(sys.executable, "-c", SERVER, "--stdio", "--log-file", str(log))
    said = [say_everything(desk)]

    # 1) the command line, and what it says of how it is
    said.append(run(paths, "complete", "--prompt", f"{CANARY} went to the river").stderr)
    for command in (["status", "--json"], ["stats", "--json"], ["doctor"], ["logs"]):
        told = run(paths, *command)
        said.append(told.stdout + told.stderr)

    # 2) what fails, while it is asked about the canary
    with connect(paths) as connection, pytest.raises(client.RefusedError):
        connection.complete(request(f"{CANARY}{FAIL}", document=CANARY, path=CANARY))
    desk.type(f"{CANARY}{FAIL}")
    desk.suggestions()
    desk.type(f" {CANARY}{WAIT}")
    desk.ask()

    # 3) crashes of both
    daemon = pid_of(paths)
    os.kill(daemon, signal.SIGSEGV)
    assert eventually(lambda: not lives(daemon))
    desk.process.send_signal(signal.SIGABRT)
    desk.process.wait(20)

    files = [file for file in home.rglob("*") if file.is_file() and not file.is_symlink()]
    names = {file.name for file in files}
    assert names >= {"daemon.log", "daemon.err", "lsp.log", "lsp.err"}
    assert b"Segmentation fault" in (paths.logs / "daemon.err").read_bytes()
    assert b"pygls" in log.read_bytes()  # it was as talkative as that
    for trace in traces(CANARY):
        for what in said:
            assert trace not in what
        for file in files:
            assert trace not in file.read_bytes(), file
            assert CANARY not in file.name
    assert not any(name.startswith("core") for name in names)


def run(paths: Paths, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """The command line, to its end."""
    return subprocess.run(
        [*AFTERWORD, *arguments],
        env=environment(paths),
        capture_output=True,
        check=False,
        timeout=60,
    )


def say_everything(desk: Desk) -> bytes:
    """Every way in which an editor passes text on, and some that make no sense; the answers."""
    uri = f"file:///home/{CANARY}/{CANARY}.md"
    desk.open(SENTENCE * 20 + CANARY, uri=uri, language=CANARY)
    desk.until_ready()
    desk.open(SENTENCE * 20 + f"{CANARY} went to the ri", uri=uri)
    desk.until_known()
    for character in CANARY:
        desk.type(character)
        desk.ask(kind=2)
    desk.type(f"\n{CANARY} " * 2000)  # from the clipboard
    desk.suggestions()
    desk.save()
    why = [desk.run("whyNoSuggestion"), desk.run("status"), desk.run(CANARY)]
    for params in ({"textDocument": CANARY}, [CANARY], CANARY, {"settings": {CANARY: CANARY}}):
        for method in ("textDocument/didChange", "workspace/didChangeConfiguration", CANARY):
            desk.say(method, params)
            desk.say(method, params, f"{method}{params}")
    desk.write(CANARY.encode() + b"\r\n\r\n")
    desk.write(b"Content-Length: 20\r\n\r\n" + CANARY.encode() + b"!")
    desk.suggestions()
    desk.close()
    desk.open(TEXT)
    desk.run("forgetFile", uri)
    # Of what it answers here, the last quotes the command that there is not.
    return json.dumps(why[:2]).encode()


def traces(text: str) -> list[bytes]:
    """What `text` may look like in a file; half of it is enough."""
    return [
        *(text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "latin-1")),
        text[:11].encode(),
        json.dumps(text).strip('"').encode(),
        repr(text.encode())[2:-1].encode(),
        base64.b64encode(text.encode())[:-4],
    ]
