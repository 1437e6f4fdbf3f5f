"""An editor at its barest: the real server at the other end of two pipes, every answer noted.

It speaks frames by itself, so that it can be deaf, in a hurry, or killed. What a test does more
often when there is time, it does `rounds` times; and what a process costs is read from /proc.
"""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from afterword_trainer.paths import Paths
from clients import COMMAND, SENTENCE, URI

TIMEOUT_S = 30.0  # ends a test that hangs
CHATTY = {"eagerness": "chatty", "status": True}
GHOST = {"inlineCompletion": {}}
TEXT = SENTENCE * 20 + "The river ro"  # of which the tiny model has an idea how it goes on
INVOKED, AUTOMATIC = 1, 2

Id = int | str

_LINE_END = re.compile(r"\r\n|\r|\n")
_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


def rounds(usual: int) -> int:
    """How often to do what could be done for ever: as AFTERWORD_ROUNDS says, or as usual."""
    return int(os.environ.get("AFTERWORD_ROUNDS", usual))


def environment(paths: Paths) -> dict[str, str]:
    """This process's, in which that home is."""
    home = {"AFTERWORD_HOME": str(paths.data.parent), "AFTERWORD_BASE": str(paths.base)}
    return {**os.environ, **home}


def framed(message: Mapping[str, Any]) -> bytes:
    """As LSP has it."""
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def position(text: str, offset: int, encoding: str = "utf-16") -> dict[str, int]:
    """Where the editor says that is."""
    ends = [end for found in _LINE_END.finditer(text) if (end := found.end()) <= offset]
    line = text[ends[-1] if ends else 0 : offset]
    codec, size = _CODECS[encoding]
    return {"line": len(ends), "character": len(line.encode(codec, "surrogatepass")) // size}


class Desk:
    """An editor with one document, and a cursor in it."""

    def __init__(
        self,
        paths: Paths,
        *command: str,
        reads: bool = True,
        encoding: str = "utf-16",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`command` runs the server; who does not read never learns what it said."""
        self.encoding = encoding
        self.text, self.cursor = "", 0
        self.answers: dict[Id, dict[str, Any]] = {}
        self.n_twice = 0  # answers to what had been answered
        self._ids = count(1)
        self._version = 0
        self._heard = threading.Condition()
        with (paths.data.parent / "lsp.err").open("ab") as errors:
            self.process = subprocess.Popen(
                command or COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**environment(paths), **(variables or {})},
            )
        self._reader = threading.Thread(target=self._hear, daemon=True)
        if reads:
            self._reader.start()
        capabilities = {
            "general": {"positionEncodings": [encoding]},
            "textDocument": GHOST,
        }
        initialize = {
            "processId": os.getpid(),
            "capabilities": capabilities,
            "initializationOptions": CHATTY,
        }
        self.say("initialize", initialize, "hello")
        self.say("initialized", {})

    # -- what is said --------------------------------------------------------------------------

    def say(self, method: str, params: object, id: Id | None = None) -> None:
        """A notification; with an id, a request."""
        message = {"method": method, "params": params}
        self.write(framed(message if id is None else {**message, "id": id}))

    def write(self, data: bytes) -> None:
        """Any bytes. Raises BrokenPipeError when the server is gone."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def open(self, text: str, *, language: str = "markdown", uri: str = URI) -> None:
        """With the cursor at the end."""
        self.uri, self.text, self.cursor, self._version = uri, text, len(text), 1
        item = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.say("textDocument/didOpen", {"textDocument": item})

    def close(self) -> None:
        self.say("textDocument/didClose", {"textDocument": {"uri": self.uri}})

    def save(self) -> None:
        self.say("textDocument/didSave", {"textDocument": {"uri": self.uri}})

    def edit(self, *changes: tuple[int, int, str]) -> None:
        """In one message: what is from one offset to another gives way to a text, each in turn."""
        events = []
        for start, end, text in changes:
            at = [position(self.text, offset, self.encoding) for offset in (start, end)]
            events.append({"range": {"start": at[0], "end": at[1]}, "text": text})
            new = self.text[:start] + text + self.text[end:]
            # As the editor has it: two halves that meet are one character.
            self.text = new.encode("utf-16-le", "surrogatepass").decode(
                "utf-16-le", "surrogatepass"
            )
            self.cursor = start + len(text)
        self._version += 1
        document = {"uri": self.uri, "version": self._version}
        self.say("textDocument/didChange", {"textDocument": document, "contentChanges": events})

    def type(self, text: str) -> None:
        """At the cursor."""
        self.edit((self.cursor, self.cursor, text))

    def ask(self, *, kind: int = INVOKED, id: Id | None = None) -> Id:
        """What could stand at the cursor? The number of the question."""
        id = next(self._ids) if id is None else id
        params = {
            "textDocument": {"uri": self.uri},
            "position": position(self.text, self.cursor, self.encoding),
            "context": {"triggerKind": kind},
        }
        self.say("textDocument/inlineCompletion", params, id)
        return id

    def cancel(self, id: Id) -> None:
        self.say("$/cancelRequest", {"id": id})

    # -- what is heard -------------------------------------------------------------------------

    def answer(self, id: Id) -> Any:
        """The result of that request, waited for."""
        self.until(lambda: id in self.answers)
        return self.answers[id].get("result")

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for answers that make it true."""
        with self._heard:
            assert self._heard.wait_for(condition, TIMEOUT_S)

    def suggestions(self, *, kind: int = INVOKED) -> list[str]:
        """Of the daemon, best first."""
        found = self.answer(self.ask(kind=kind))
        return [str(item["insertText"]) for item in found["items"]] if found else []

    def run(self, command: str, *arguments: str) -> Any:
        """Have a command executed."""
        id = next(self._ids)
        params = {"command": f"afterword.{command}", "arguments": list(arguments)}
        self.say("workspace/executeCommand", params, id)
        return self.answer(id)

    def until_ready(self) -> None:
        """Wait for the daemon; a document must be open, or none is wanted."""
        end = time.monotonic() + TIMEOUT_S
        while self.run("status")["daemon"] is None:
            assert time.monotonic() < end
            time.sleep(0.01)

    def until_known(self) -> str:
        """Wait until the text is learned so far that something comes of it; what."""
        self.until_ready()
        end = time.monotonic() + TIMEOUT_S
        while not (found := self.suggestions()):
            assert time.monotonic() < end
        return found[0]

    def _hear(self) -> None:
        stdout = self.process.stdout
        assert stdout
        # Closed under our hands, or killed in the middle of a frame.
        with suppress(ValueError, OSError):
            while header := stdout.readline():
                length = int(header.split(b":")[1])
                while stdout.readline().strip():
                    pass
                self._note(json.loads(stdout.read(length)))

    def _note(self, message: dict[str, Any]) -> None:
        if "method" in message:
            return
        with self._heard:
            self.n_twice += message["id"] in self.answers
            self.answers[message["id"]] = message
            self._heard.notify_all()

    # -- the end -------------------------------------------------------------------------------

    def leave(self) -> int:
        """As editors should; the server's exit code."""
        self.say("shutdown", None, "good-bye")
        self.answer("good-bye")
        self.say("exit", None)
        return self.process.wait(TIMEOUT_S)

    def kill(self) -> None:
        """At once, and nothing is left of it."""
        self.process.kill()
        self.process.wait()
        if self._reader.ident:
            self._reader.join(TIMEOUT_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            with suppress(OSError):
                pipe.close()


Seat = Callable[..., Desk]


# -- what a process costs ----------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """Seconds of processor that it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def n_wakes(pid: int) -> int:
    """How often any of its threads went to sleep and was woken."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            found += int(value) if name.endswith("voluntary_ctxt_switches") else 0
    return found


def resident(pid: int) -> int:
    """Bytes in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def n_open(pid: int) -> int:
    """Descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def n_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def command_lines() -> dict[int, str]:
    """Of all processes, by their ids, with blanks between the arguments."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes()
                found[int(folder.name)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


def errors_in(log: Path) -> Sequence[str]:
    """Lines of a log that say that something failed."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if " ERROR " in line or " CRITICAL " in line]
