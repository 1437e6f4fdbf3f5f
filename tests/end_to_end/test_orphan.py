"""Editors that are killed: what they leave behind ends by itself."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from afterword_trainer.paths import Paths
from clients import COMMAND, SENTENCE
from daemons import WAIT, connect, eventually, lives, odd, pid_of, request
from desk import CHATTY, GHOST, TEXT, URI, Seat, cpu_s, environment, errors_in, rounds

AT_ONCE = 6  # editors; more would wait for the processor, and not for each other

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]

# Starts a server as editors do, opens a document, and types on and on. With a sibling both pipes
# are held open when it is killed.
EDITOR = """
import json, os, subprocess, sys, time
reads, writes = os.pipe()
answers, answers_to = os.pipe()
server = subprocess.Popen(sys.argv[3:], stdin=reads, stdout=answers_to)
holds = [writes, answers]
sibling = server
if sys.argv[1] == "held":
    sibling = subprocess.Popen(["sleep", "60"], pass_fds=holds, stdout=subprocess.DEVNULL)
for end in (reads, answers_to):
    os.close(end)

def say(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    os.write(writes, b"Content-Length: %d\\r\\n\\r\\n%b" % (len(body), body))

for message in json.loads(sys.argv[2]):
    if message["method"] == "initialize":
        message["params"]["processId"] = os.getpid()
    say(message)
print(server.pid, sibling.pid, flush=True)
os.read(answers, 1)
print("answered", flush=True)
at = {"line": 0, "character": 0}
for version in range(2, 1000):
    change = {"range": {"start": at, "end": at}, "text": "x"}
    document = {"uri": "file:///notes/river.md", "version": version}
    params = {"textDocument": document, "contentChanges": [change]}
    say({"method": "textDocument/didChange", "params": params})
    params = {"textDocument": document, "position": at, "context": {"triggerKind": 2}}
    say({"method": "textDocument/inlineCompletion", "params": params, "id": version})
    os.read(answers, 1 << 16)
    time.sleep(0.02)
time.sleep(60)
"""


def test_orphan(paths: Paths) -> None:
    """Whoever holds its pipes, and whatever it is about: gone within ten seconds, without a spin.

    AFTERWORD_ROUNDS raises the number of editors.
    """
    draw = random.Random(11)
    connect(paths).close()
    slowest, busiest = 0.0, 0.0
    for _ in range(n := max(rounds(AT_ONCE) // AT_ONCE, 1)):
        with ExitStack() as stack:
            editors = [
                stack.enter_context(editor(paths, is_held=bool(k % 2))) for k in range(AT_ONCE)
            ]
            typing = set()
            for process, server in editors:
                if draw.random() < 0.8:  # the others are killed while the server starts
                    assert process.stdout
                    process.stdout.readline()
                    typing.add(server)
            time.sleep(draw.uniform(0, 0.2))
            for process, _ in editors:
                process.kill()
            took = time_left({server for _, server in editors})
            slowest = max(slowest, *(seconds for seconds, _ in took.values()))
            busiest = max(busiest, *(took[server][1] for server in typing))
    print(f"{n * AT_ONCE} editors: the last server left after {slowest:.1f} s", end=", ")
    print(f"the busiest had used {busiest:.2f} s of processor by then")
    assert slowest < 10
    assert busiest < 0.5  # a spin takes all that there is
    with connect(paths) as connection:
        assert eventually(lambda: connection.status().clients == 1)
        assert connection.status().documents == 0


def time_left(pids: set[int]) -> dict[int, tuple[float, float]]:
    """For each process, how long it went on living, and on how much of the processor."""
    began = time.monotonic()
    before = {pid: cpu_s(pid) for pid in pids}
    used = dict.fromkeys(pids, 0.0)
    took = {}
    while len(took) < len(pids) and time.monotonic() - began < 15:
        for pid in pids - took.keys():
            with suppress(OSError):
                used[pid] = cpu_s(pid) - before[pid]
            if not lives(pid):
                took[pid] = time.monotonic() - began, used[pid]
        time.sleep(0.02)
    assert took.keys() == pids, "some live on"
    return took


@contextmanager
def editor(paths: Paths, *, is_held: bool) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """One that types, and the process id of its server."""
    item = {"uri": URI, "languageId": "markdown", "version": 1, "text": SENTENCE * 20}
    capabilities = {"textDocument": GHOST}
    says = [
        {
            "id": 1,
            "method": "initialize",
            "params": {"capabilities": capabilities, "initializationOptions": CHATTY},
        },
        {"method": "initialized", "params": {}},
        {"method": "textDocument/didOpen", "params": {"textDocument": item}},
    ]
    how = "held" if is_held else "alone"
    process = subprocess.Popen(
        [sys.executable, "-c", EDITOR, how, json.dumps(says), *COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(paths),
        text=True,
    )
    assert process.stdout
    server, sibling = map(int, process.stdout.readline().split())
    try:
        yield process, server
    finally:
        process.kill()
        process.communicate()
        for pid in (server, sibling):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_kill_daemon_and_server_in_a_request(seat: Seat, paths: Paths) -> None:
    """Both at once, while an answer is being made: the next editor finds everything in order."""
    for _ in range(rounds(2)):
        connect(paths, *odd()).close()
        desk = seat()
        desk.open(TEXT)
        desk.until_known()
        desk.type(WAIT)
        desk.ask()
        pid = pid_of(paths)
        os.kill(pid, signal.SIGKILL)
        desk.kill()

        other = seat()
        other.open(TEXT)
        assert other.until_known()
        assert pid_of(paths) != pid
        assert other.leave() == 0
        with connect(paths) as connection:
            assert eventually(lambda c=connection: c.status().documents == 0)  # type: ignore[misc]
            assert connection.complete(request("x")).model == "base"
        assert not errors_in(paths.logs / "daemon.log")
        os.kill(pid_of(paths), signal.SIGKILL)
