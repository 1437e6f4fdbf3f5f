"""How long an editor waits for ghost text at each key, beside a server that does nothing.

    .venv/bin/python benchmarks/keystroke.py [--text FILE] [--keys 400] [--interval-ms 120]

A key is a change and a request, sent together over stdio to the real `afterword-lsp`, with a
daemon and the shipped model behind it; its time ends when the answer has arrived. The server beside
it is pygls as it comes: it keeps the same document and answers with an empty list. Both get every
key of the same passages, one after the other, so that they share whatever the machine is at.
A passage is 40 characters of the text at a random place; its first key is a jump.
"""

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from stopwatch import finish, say

EXAMPLES = Path(__file__).parent.parent / "examples"
AFTERWORD = (sys.executable, "-m", "afterword_lsp", "--stdio")
NOTHING = (sys.executable, __file__, "--serve-nothing")
SIZES = {"10 KB": 10_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
PASSAGE = 40  # keys at one place; then the user goes elsewhere
MOST_TIMES_NOTHING = 4.0  # p50 and p99
MOST_TIMES_SMALL = 1.2  # a document of 1 MB against one of 10 KB
MOST_TIMES_ALONE = 2.0  # four editors against one

Times = list[float]  # seconds, one for each key

_numbers = itertools.count(1)  # of editors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, help="what is typed, and where")
    parser.add_argument("--keys", type=int, default=400, help="in each document")
    parser.add_argument("--interval-ms", type=float, default=120.0, help="between two keys")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve-nothing", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_nothing:
        serve_nothing()
        return
    files = [options.text] if options.text else sorted(EXAMPLES.rglob("*.txt"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files).replace("\r", "")
    interval_s = options.interval_ms / 1000
    found: dict[str, Any] = {"keys": options.keys, "interval_ms": options.interval_ms}

    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="aw-"))
        stack.callback(stop_daemon, home)

        # 1) from no process at all to an answer
        found["start_s"] = start(stack, home)

        # 2) documents of each size: a passage in each in turn, so that they share the machine too
        documents = {n: (text * (SIZES[n] // len(text) + 1))[: SIZES[n]] for n in options.sizes}
        with ExitStack() as editors:
            pairs: dict[str, tuple[Typist, Typist]] = {}
            for name, document in documents.items():
                pair = [editors.enter_context(Editor(c, home)) for c in (AFTERWORD, NOTHING)]
                for editor in pair:
                    editor.open(document)
                ours, nothing = (Typist(e, text, random.Random(options.seed)) for e in pair)
                pairs[name] = ours, nothing
            for _ in range(options.keys // PASSAGE):
                for pair_of in pairs.values():
                    type_in_turns(pair_of, PASSAGE, interval_s, random.Random(options.seed))
            for name, (ours, nothing) in pairs.items():
                found[name] = compared(ours, nothing)
                tell(name, found[name])
            if {"10 KB", "1 MB"} <= set(options.sizes):
                found["1 MB_times_10 KB"] = times_of(
                    pairs["1 MB"][0].times, pairs["10 KB"][0].times
                )

        # 3) one editor and four at once, twice in turn
        document = (text * (SIZES["10 KB"] // len(text) + 1))[: SIZES["10 KB"]]
        one: Times = []
        four: Times = []
        for _ in range(2):
            one += together(1, home, document, text, options, interval_s)
            four += together(4, home, document, text, options, interval_s)
        found["four_editors_ms"], found["one_editor_ms"] = percentiles(four), percentiles(one)
        found["four_times_one"] = times_of(four, one)
        found["daemon"] = daemon_facts(home)
    found["targets"] = {
        "times_nothing": MOST_TIMES_NOTHING,
        "1 MB_times_10 KB": MOST_TIMES_SMALL,
        "four_times_one": MOST_TIMES_ALONE,
    }
    say(f"four editors: {found['four_times_one']} times one (target {MOST_TIMES_ALONE:g})")
    finish("keystroke", found)


class Editor:
    """A server and the least that an editor has to say to it."""

    def __init__(self, command: Sequence[str], home: str) -> None:
        environment = {**os.environ, "AFTERWORD_HOME": home}
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment
        )
        self._received = b""
        self._version = 0
        self._uri = f"file:///typed-{next(_numbers)}.txt"  # nobody else's
        self.lines: list[str] = []
        self.n_asked = self.n_shown = 0
        capabilities: Any = {"textDocument": {"inlineCompletion": {}}}
        self.ask("initialize", {"processId": os.getpid(), "capabilities": capabilities})
        self._send(message("initialized", {}))

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._server.pid

    def __enter__(self) -> "Editor":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.communicate()

    def open(self, text: str) -> None:
        """Open it and wait until the server has it."""
        self.lines = text.split("\n")
        item = {"uri": self._uri, "languageId": "plaintext", "version": 0, "text": text}
        self._send(message("textDocument/didOpen", {"textDocument": item}))
        self.inline(0, 0)

    def key(self, line: int, column: int, character: str) -> None:
        """Type a character and wait for what could follow it."""
        self._version += 1
        at = {"line": line, "character": column}
        change = message(
            "textDocument/didChange",
            {
                "textDocument": {"uri": self._uri, "version": self._version},
                "contentChanges": [{"range": {"start": at, "end": at}, "text": character}],
            },
        )
        self.inline(line, column + 1, change)

    def inline(self, line: int, column: int, before: bytes = b"", *, invoked: bool = False) -> Any:
        """Ask for ghost text."""
        answer = self.ask(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": self._uri},
                "position": {"line": line, "character": column},
                "context": {"triggerKind": 1 if invoked else 2},
            },
            before,
        )
        self.n_shown += bool(answer and answer["items"])
        return answer

    def ask(self, method: str, params: object, before: bytes = b"") -> Any:
        """The result of a request, sent in one piece with what goes before it."""
        self.n_asked += 1
        id = self.n_asked
        self._send(before + message(method, params, id))
        while True:
            answer = self._receive()
            if answer.get("id") == id:
                return answer["result"]

    def cpu_s(self) -> float:
        times = psutil.Process(self._server.pid).cpu_times()
        return float(times.user + times.system)

    def resident_mb(self) -> float:
        return round(psutil.Process(self._server.pid).memory_info().rss / 1e6, 1)

    def _send(self, data: bytes) -> None:
        assert self._server.stdin
        view = memoryview(data)
        while view:  # a pipe takes a portion at a time
            view = view[self._server.stdin.write(view) :]

    def _receive(self) -> Any:
        header, _, rest = self._received.partition(b"\r\n\r\n")
        while b"\r\n\r\n" not in self._received:
            self._more()
            header, _, rest = self._received.partition(b"\r\n\r\n")
        length = int(header.lower().split(b"content-length:")[1].split()[0])
        while len(rest) < length:
            self._more()
            rest = self._received.partition(b"\r\n\r\n")[2]
        self._received = rest[length:]
        return json.loads(rest[:length])

    def _more(self) -> None:
        assert self._server.stdout
        data = os.read(self._server.stdout.fileno(), 1 << 16)
        if not data:
            raise SystemExit("a server ended; what it said is above")
        self._received += data


class Typist:
    """Types passages of a text at random places of an editor's document, and takes the time."""

    def __init__(self, editor: Editor, text: str, draw: random.Random) -> None:
        self.editor = editor
        self.times: Times = []
        self._cpu_s = editor.cpu_s()
        self._text = text
        self._draw = draw
        self._left: list[str] = []
        self._line = self._column = 0

    def key(self) -> None:
        """Type one character."""
        if not self._left:
            lines = self.editor.lines
            self._line = self._draw.randrange(len(lines))
            self._column = self._draw.randint(0, len(lines[self._line]))
            start = self._draw.randrange(len(self._text) - PASSAGE)
            passage = self._text[start : start + PASSAGE].replace("\n", " ")
            self._left.extend(reversed(passage))
        character = self._left.pop()
        began = time.perf_counter()
        self.editor.key(self._line, self._column, character)
        self.times.append(time.perf_counter() - began)
        self._column += 1

    def cpu_ms(self) -> float:
        """Of the server's process, for each key: it depends less on who else is at work."""
        return round((self.editor.cpu_s() - self._cpu_s) * 1000 / len(self.times), 3)


def message(method: str, params: object, id: int | None = None) -> bytes:
    body = {"jsonrpc": "2.0", "method": method, "params": params}
    data = json.dumps(body if id is None else {**body, "id": id}).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(data), data)


def serve_nothing() -> None:
    """The reference: pygls, its documents, and an empty list."""
    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

    server = LanguageServer("nothing", "1")

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        return types.InlineCompletionList([])

    server.start_io()


def start(stack: ExitStack, home: str) -> dict[str, float]:
    """Seconds until the server has answered, and until there is a first suggestion."""
    began = time.perf_counter()
    editor = stack.enter_context(Editor(AFTERWORD, home))
    greeted = time.perf_counter()
    editor.open("The sun rose over the sea, and the sun rose over the ")
    while not editor.inline(0, 53, invoked=True)["items"]:
        if time.perf_counter() - began > 60:
            raise SystemExit("no suggestion has come within a minute; see: afterword doctor")
    first = time.perf_counter()
    found = {"greeted": round(greeted - began, 3), "first_suggestion": round(first - began, 3)}
    say("start: {greeted} s to the greeting, {first_suggestion} s to a suggestion".format(**found))
    return found


def type_in_turns(
    typists: Sequence[Typist], n_keys: int, interval_s: float, draw: random.Random
) -> None:
    """Each key by each of them in turn, then a pause until the next key is due.

    A pause is half the interval to one and a half: nobody types in step with somebody else.
    """
    due = time.perf_counter()
    for _ in range(n_keys):
        for typist in typists:
            typist.key()
        due = max(due + interval_s * draw.uniform(0.5, 1.5), time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))


def together(
    n_editors: int,
    home: str,
    document: str,
    text: str,
    options: argparse.Namespace,
    interval_s: float,
) -> Times:
    """The times of all keys of so many editors that type at once."""
    with ExitStack() as stack:
        typists = []
        for number in range(n_editors):
            editor = stack.enter_context(Editor(AFTERWORD, home))
            editor.open(document)
            typists.append(Typist(editor, text, random.Random(options.seed + number)))
        threads = [
            threading.Thread(
                target=type_in_turns,
                args=(
                    [typist],
                    options.keys // 2,
                    interval_s,
                    random.Random(options.seed + number),
                ),
            )
            for number, typist in enumerate(typists)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [took for typist in typists for took in typist.times]


def compared(ours: Typist, nothing: Typist) -> dict[str, Any]:
    return {
        "afterword_ms": percentiles(ours.times),
        "nothing_ms": percentiles(nothing.times),
        "times_nothing": times_of(ours.times, nothing.times),
        "after_a_jump_ms": percentiles(ours.times[::PASSAGE]),
        "with_items": round(ours.editor.n_shown / ours.editor.n_asked, 3),
        "afterword_lsp_cpu_ms": ours.cpu_ms(),
        "nothing_cpu_ms": nothing.cpu_ms(),
        "afterword_lsp_resident_mb": ours.editor.resident_mb(),
        "nothing_resident_mb": nothing.editor.resident_mb(),
    }


def percentiles(times: Times) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(times)
    at = {name: ordered[int(share * (len(ordered) - 1))] for name, share in _SHARES.items()}
    return {name: float(f"{value * 1000:.4g}") for name, value in at.items()}


def times_of(times: Times, others: Times) -> dict[str, float]:
    one, other = percentiles(times), percentiles(others)
    return {name: float(f"{one[name] / other[name]:.3g}") for name in one}


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def stop_daemon(home: str) -> None:
    run_afterword(home, "stop")


def daemon_facts(home: str) -> dict[str, Any]:
    facts = json.loads(run_afterword(home, "status", "--json") or "{}")
    return {name: facts[name] for name in ("resident", "latency_ms", "cpu_s") if name in facts}


def run_afterword(home: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "afterword_daemon.cli", *arguments],
        env={**os.environ, "AFTERWORD_HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout


def tell(name: str, found: dict[str, Any]) -> None:
    ours, nothing, times = (found[k] for k in ("afterword_ms", "nothing_ms", "times_nothing"))
    say(
        f"{name:>6}: p50 {ours['p50']:.2f} ms ({times['p50']:.2f} times nothing), "
        f"p95 {ours['p95']:.2f} ({times['p95']:.2f}), p99 {ours['p99']:.2f} ({times['p99']:.2f}); "
        f"nothing p50 {nothing['p50']:.2f}, p99 {nothing['p99']:.2f}; "
        f"{found['afterword_lsp_resident_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
