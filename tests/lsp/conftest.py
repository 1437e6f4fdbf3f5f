"""Shared by the language server's tests: real servers for real clients, a tiny model."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from afterword_daemon.client import Connection
from afterword_trainer.paths import Paths
from clients import COMMAND, Editor, Start
from daemons import connect
from lsprotocol import types
from pytest_lsp import make_test_lsp_client


@pytest.fixture
def environment(paths: Paths) -> dict[str, str]:
    """For a server in that home."""
    home = {"AFTERWORD_HOME": str(paths.data.parent), "AFTERWORD_BASE": str(paths.base)}
    return {**os.environ, **home}


@pytest.fixture
def daemon(paths: Paths) -> Iterator[Connection]:
    """A connection of our own to the daemon of that home."""
    with connect(paths) as connection:
        yield connection


@pytest_asyncio.fixture
async def start(environment: dict[str, str]) -> AsyncIterator[Start]:
    """Start a server and greet it; it ends with the test."""
    editors: list[Editor] = []

    async def run(
        options: object = None,
        *,
        ghost: bool = True,
        progress: bool = False,
        settings: dict[str, Any] | None = None,
        encodings: Sequence[str] = ("utf-16",),
        arguments: Sequence[str] = (),
    ) -> Editor:
        client = make_test_lsp_client()
        editor = Editor(client)
        editors.append(editor)
        if settings is not None:
            client.set_configuration({"afterword": settings})
        client.feature("afterword/status")(editor.told)
        await client.start_io(*COMMAND, *arguments, env=environment)
        text = types.TextDocumentClientCapabilities(
            inline_completion=types.InlineCompletionClientCapabilities() if ghost else None
        )
        greeted = await client.initialize_session(
            types.InitializeParams(
                process_id=os.getpid(),
                capabilities=types.ClientCapabilities(
                    workspace=types.WorkspaceClientCapabilities(configuration=settings is not None),
                    general=types.GeneralClientCapabilities(position_encodings=list(encodings)),
                    text_document=text,
                    window=types.WindowClientCapabilities(work_done_progress=progress),
                ),
                initialization_options=options,
            )
        )
        editor.capabilities = greeted.capabilities
        return editor

    yield run
    for editor in editors:
        server = editor.client._server
        if server and server.returncode is None:
            with suppress(ProcessLookupError):
                server.kill()
        await editor.client.stop()
