"""When the server ends, and what must not end it: its pipes, its editor, what it is sent."""

import asyncio
import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from afterword_lsp.stdio import MOST_BYTES_UNREAD, Pipes
from clients import COMMAND
from daemons import eventually, lives

TIMEOUT_S = 20.0

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"processId": None, "rootUri": None, "capabilities": {}},
}
SHUTDOWN = {"jsonrpc": "2.0", "id": 2, "method": "shutdown", "params": None}
EXIT = {"jsonrpc": "2.0", "method": "exit", "params": None}


def framed(*messages: object) -> bytes:
    bodies = [json.dumps(message).encode() for message in messages]
    return b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)


def answers(stream: bytes) -> dict[int | None, dict[str, Any]]:
    """What was answered, by id; each once."""
    found: dict[int | None, dict[str, Any]] = {}
    while stream:
        header, _, stream = stream.partition(b"\r\n\r\n")
        length = int(header.split(b"Content-Length:")[1].split()[0])
        message, stream = json.loads(stream[:length]), stream[length:]
        if "id" in message and "method" not in message:
            assert message["id"] not in found or message["id"] is None  # it could not be read
            found[message["id"]] = message
    return found


@pytest.fixture
def run(environment: dict[str, str]) -> Any:
    """Give a server bytes and the end of its input; see how it ends."""

    def run_with(data: bytes, **how: Any) -> subprocess.CompletedProcess[bytes]:
        given = how or {"input": data}
        return subprocess.run(
            COMMAND, capture_output=True, env=environment, check=False, timeout=TIMEOUT_S, **given
        )

    return run_with


@pytest.fixture
def orphan(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[int, int]]:
    """An editor with a server, both of whose pipes a sibling holds open; their process ids."""
    script = """
import json, os, subprocess, sys, time
reads, writes = os.pipe()
answers, answers_to = os.pipe()
server = subprocess.Popen(sys.argv[2:], stdin=reads, stdout=answers_to)
sibling = subprocess.Popen(["sleep", "60"], pass_fds=[writes, answers])
message = json.loads(sys.argv[1])
message["params"]["processId"] = os.getpid()
body = json.dumps(message).encode()
os.write(writes, b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
os.read(answers, 1)
print(server.pid, sibling.pid, flush=True)
time.sleep(60)
"""
    editor = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(INITIALIZE), *COMMAND],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert editor.stdout
    server, sibling = map(int, editor.stdout.readline().split())
    yield editor.pid, server
    editor.kill()
    editor.wait()
    editor.stdout.close()
    for pid in (server, sibling):
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_it_leaves_as_told(run: Any) -> None:
    """With 0 after `shutdown`, with 1 without, and with 0 when its input ends."""
    for messages, code in (
        ([INITIALIZE, SHUTDOWN, EXIT], 0),
        ([INITIALIZE, EXIT], 1),
        ([INITIALIZE], 0),
        ([], 0),
    ):
        result = run(framed(*messages))
        assert (result.returncode, result.stderr) == (code, b"")
    assert run(b"", stdin=subprocess.DEVNULL).returncode == 0


@pytest.mark.slow
def test_it_reads_a_file_too(run: Any, tmp_path: Path) -> None:
    """Which an event loop cannot wait for."""
    session = tmp_path / "session"
    session.write_bytes(framed(INITIALIZE, SHUTDOWN, EXIT))
    with session.open("rb") as stdin:
        result = run(b"", stdin=stdin)
    assert result.returncode == 0
    assert set(answers(result.stdout)) == {1, 2}


@pytest.mark.slow
def test_orphan(orphan: tuple[int, int]) -> None:
    """An editor is killed while somebody holds its pipes: the server sees it and goes."""
    editor, server = orphan
    assert lives(server)
    os.kill(editor, signal.SIGKILL)
    assert eventually(lambda: not lives(server), 10)


@pytest.mark.slow
def test_it_leaves_when_nobody_reads_any_more(environment: dict[str, str]) -> None:
    """The other end of its output is closed, its input is not."""
    server = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert server.stdin
    assert server.stdout
    server.stdin.write(framed(INITIALIZE))
    server.stdin.flush()
    server.stdout.readline()
    server.stdout.close()
    assert server.wait(TIMEOUT_S) == 0
    server.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_proto_fuzz(run: Any, seed: int) -> None:
    """Bytes, broken JSON, messages of no sense: what comes later is answered, nothing is thrown."""
    draw = random.Random(seed)
    stream = framed(INITIALIZE, {"jsonrpc": "2.0", "method": "initialized", "params": {}})
    for number in range(300):
        match draw.randrange(5):
            case 0:
                stream += draw.randbytes(draw.randrange(200)) + b"\r\n\r\n"
            case 1:
                body = draw.randbytes(draw.randrange(50))
                stream += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            case 2:
                stream += framed(nonsense(draw, 3))
            case 3:
                stream += framed({"jsonrpc": "2.0", "id": number + 10, **call(draw)})
            case _:
                stream += framed({"jsonrpc": "2.0", **call(draw)})
    result = run(stream + framed(SHUTDOWN, EXIT))
    assert result.returncode == 0
    assert b"Traceback" not in result.stderr
    found = answers(result.stdout)
    assert {1, 2} <= set(found)
    assert "result" in found[2]


@pytest.mark.slow
def test_who_stops_reading_is_left(environment: dict[str, str]) -> None:
    """The server reads on while nobody reads its answers, and goes when they are too many."""
    server = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert server.stdin
    assert server.stdout
    # Quoted in the answer: there is no such method.
    question = framed({"jsonrpc": "2.0", "id": 2, "method": "x" * (1 << 19), "params": {}})
    n_bytes = 0
    try:
        server.stdin.write(framed(INITIALIZE))
        while server.poll() is None and n_bytes < 4 * MOST_BYTES_UNREAD:
            server.stdin.write(question)
            n_bytes += len(question)
    except BrokenPipeError:
        assert server.wait(TIMEOUT_S) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        with suppress(BrokenPipeError):
            server.stdin.close()
    assert MOST_BYTES_UNREAD < n_bytes < 4 * MOST_BYTES_UNREAD
    assert server.returncode == 0


@pytest.mark.parametrize("process", [None, 0, -1, 2**22 + 1, 2**70, "of another machine"])
def test_an_editor_that_cannot_be_seen_is_not_watched(process: object) -> None:
    """Its number is of another container, or none: the server lives, and ends after good-bye."""
    script = """
import sys, threading, time
from afterword_lsp import __main__ as program
program.LOOK_S, program.LINGER_S = 0.01, 0.0
watch = program.Watch()
for _ in range(3):
    watch.start(eval(sys.argv[1]))
time.sleep(0.3)
print(threading.active_count(), flush=True)
watch.end_soon()
time.sleep(60)
"""
    command = [sys.executable, "-c", script, repr(process)]
    result = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"2\n", b"")


def test_a_terminal_gets_every_byte() -> None:
    """Whatever it takes at a time; half a frame would spoil all that follow.

    A signal cuts a write short.
    """
    portion, n = bytes(range(256)) * 256, 10
    parent, terminal = pty.openpty()
    tty.setraw(terminal)
    os.set_blocking(terminal, False)
    seen = bytearray()

    def read() -> None:
        while len(seen) < n * len(portion):
            seen.extend(os.read(parent, 1 << 16))

    async def run() -> None:
        in_reads, in_writes = os.pipe()
        pipes = Pipes(lambda body: None)
        await pipes.open(in_reads, terminal)
        for _ in range(n):
            pipes.write(portion)
        assert not pipes.left.is_set()
        pipes.close()
        await asyncio.sleep(0)
        os.close(in_writes)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        asyncio.run(run())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    reader.join(TIMEOUT_S)
    assert seen == portion * n
    os.close(terminal)
    os.close(parent)


def test_slow_reader() -> None:
    """Nobody reads: writing never blocks, and from some megabytes on the editor is left."""

    async def run() -> None:
        in_reads, in_writes = os.pipe()
        out_reads, out_writes = os.pipe()
        pipes = Pipes(lambda body: None)
        await pipes.open(in_reads, out_writes)
        portion, n = b"x" * 65_536, 0
        while not pipes.left.is_set():
            pipes.write(portion)
            n += len(portion)
            assert n < 2 * MOST_BYTES_UNREAD
        pipes.close()
        await asyncio.sleep(0)
        for fd in (in_writes, out_reads):
            os.close(fd)

    asyncio.run(run())


def call(draw: random.Random) -> dict[str, Any]:
    """A method of ours with parameters that may be anything."""
    methods = (
        "textDocument/didOpen",
        "textDocument/didChange",
        "textDocument/inlineCompletion",
        "textDocument/completion",
        "workspace/executeCommand",
        "workspace/didChangeConfiguration",
        "$/cancelRequest",
        "no/such/method",
    )
    document = {
        "uri": "file:///a",
        "languageId": "x",
        "version": draw.randrange(-2, 9),
        "text": "a",
    }
    at = {"line": draw.randrange(-3, 5), "character": draw.randrange(-3, 5)}
    likely = {
        "textDocument": document,
        "position": at,
        "context": {"triggerKind": draw.randrange(4)},
        "contentChanges": [{"range": {"start": at, "end": at}, "text": "b\r"}],
        "command": "afterword.accept",
        "settings": nonsense(draw, 2),
    }
    params = likely if draw.random() < 0.6 else nonsense(draw, 3)
    return {"method": draw.choice(methods), "params": params}


def nonsense(draw: random.Random, depth: int) -> Any:
    """Any JSON."""
    simple = (None, True, -1, 2**70, 1.5, "", "\ud800", "uri", "textDocument")
    if not depth or draw.random() < 0.4:
        return draw.choice(simple)
    if draw.random() < 0.5:
        return [nonsense(draw, depth - 1) for _ in range(draw.randrange(4))]
    keys = ("jsonrpc", "id", "method", "params", "textDocument", "error", "result")
    return {draw.choice(keys): nonsense(draw, depth - 1) for _ in range(draw.randrange(4))}


def test_what_cannot_be_obeyed_is_refused(run: Any) -> None:
    """With the codes of LSP, whenever it comes; what follows is obeyed."""
    command = {"command": "afterword.status", "arguments": []}
    execute = {"jsonrpc": "2.0", "method": "workspace/executeCommand", "params": command}
    unknown = {"jsonrpc": "2.0", "method": "no/such"}
    done = run(
        framed(
            {**execute, "id": 10},
            INITIALIZE,
            {**INITIALIZE, "id": 11},
            {**unknown, "id": 12},
            {**unknown, "id": 13, "method": []},
            SHUTDOWN,
            {**execute, "id": 14},
        )
        + b"Content-Length: 4\r\n\r\nnope"
        + framed(EXIT)
    )
    found = {id: answer.get("error", {}).get("code") for id, answer in answers(done.stdout).items()}
    assert found == {
        10: -32002,
        1: None,
        11: -32600,
        12: -32601,
        13: -32600,
        2: None,
        14: -32600,
        None: -32700,
    }
    assert done.returncode == 0
