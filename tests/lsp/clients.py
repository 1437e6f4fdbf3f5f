"""An editor for tests: it opens, types, asks, and notes what it is told."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from lsprotocol import types
from pytest_lsp import LanguageClient

TIMEOUT_S = 30.0  # ends a test that hangs
URI = "file:///notes/river.md"
SENTENCE = "The river rose and the bridge was under water.\n"
AUTOMATIC = types.InlineCompletionTriggerKind.Automatic
INVOKED = types.InlineCompletionTriggerKind.Invoked
COMMAND = (sys.executable, "-m", "afterword_lsp", "--stdio")


class Editor:
    """A client with one document, at the end of which it types."""

    def __init__(self, client: LanguageClient) -> None:
        self.client = client
        self.text = ""
        self.version = 0
        self.capabilities = types.ServerCapabilities()  # as the server announces them
        self.statuses: asyncio.Queue[Any] = asyncio.Queue()

        def told(status: Any) -> None:  # a function, since pygls puts marks on it
            self.statuses.put_nowait(status)

        self.told = told

    def open(self, text: str, *, language: str = "markdown", uri: str = URI) -> None:
        self.text, self.version, self.uri = text, 1, uri
        item = types.TextDocumentItem(uri, language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def save(self) -> None:
        document = types.TextDocumentIdentifier(self.uri)
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(document))

    def close(self) -> None:
        document = types.TextDocumentIdentifier(self.uri)
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(document))

    def cursor(self, encoding: str = "utf-16") -> types.Position:
        """At the end of the text."""
        lines = self.text.split("\n")
        codec, size = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2)}.get(
            encoding, ("utf-32-le", 4)
        )
        n_bytes = len(lines[-1].encode(codec, "surrogatepass"))
        return types.Position(len(lines) - 1, n_bytes // size)

    def type(self, text: str, *, version: int | None = None, encoding: str = "utf-16") -> None:
        """In one change."""
        at = self.cursor(encoding)
        self.text += text
        self.version = self.version + 1 if version is None else version
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(self.version, self.uri),
                [types.TextDocumentContentChangePartial(types.Range(at, at), text)],
            )
        )

    def asking(
        self,
        *,
        kind: types.InlineCompletionTriggerKind = AUTOMATIC,
        id: str | None = None,
        encoding: str = "utf-16",
    ) -> "asyncio.Future[types.InlineCompletionList | None]":
        """A request on its way, with an id to cancel it by."""
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(kind),
            types.TextDocumentIdentifier(self.uri),
            self.cursor(encoding),
        )
        return self.client.protocol.send_request_async(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, params, msg_id=id
        )

    async def ask(self, *, kind: types.InlineCompletionTriggerKind = INVOKED) -> list[str] | None:
        """What could come at the cursor: texts, or None for null."""
        answer = await asyncio.wait_for(self.asking(kind=kind), TIMEOUT_S)
        return None if answer is None else [str(item.insert_text) for item in answer.items]

    async def suggestion(
        self, text: str = "", *, encoding: str = "utf-16"
    ) -> types.InlineCompletionItem:
        """The best one, asked for until there is one, or until it is this text."""

        async def found() -> types.InlineCompletionItem:
            while True:
                answer = await self.asking(kind=INVOKED, encoding=encoding)
                if answer and answer.items and text in ("", answer.items[0].insert_text):
                    return answer.items[0]

        return await asyncio.wait_for(found(), TIMEOUT_S)

    async def entries(self) -> list[types.CompletionItem]:
        """The menu at the cursor."""
        answer = await self.client.text_document_completion_async(
            types.CompletionParams(types.TextDocumentIdentifier(self.uri), self.cursor())
        )
        assert isinstance(answer, types.CompletionList)
        assert answer.is_incomplete
        return list(answer.items)

    def send(self, message: object) -> None:
        """Anything that is JSON, as a frame."""
        body = json.dumps(message).encode()
        writer: Any = self.client.protocol.writer
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def run(self, command: str, *arguments: Any) -> Any:
        """Have a command executed."""
        params = types.ExecuteCommandParams(f"afterword.{command}", list(arguments))
        asked = self.client.workspace_execute_command_async(params)
        return await asyncio.wait_for(asked, TIMEOUT_S)

    async def until(self, state: str) -> Any:
        """Wait to be told that this is the state."""

        async def told() -> Any:
            while (status := await self.statuses.get()).state != state:
                pass
            return status

        return await asyncio.wait_for(told(), TIMEOUT_S)

    @property
    def server_pid(self) -> int:
        server = self.client._server
        assert server
        return server.pid

    async def end(self) -> int:
        """Leave as editors should; the server's exit code."""
        server = self.client._server
        assert server
        await self.client.shutdown_async(None)
        self.client.exit(None)
        return await asyncio.wait_for(server.wait(), TIMEOUT_S)


Start = Callable[..., Coroutine[Any, Any, Editor]]
