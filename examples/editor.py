"""What an editor says to the language server, and what it gets: the smallest client there is.

    .venv/bin/python examples/editor.py 'I have been thinking ab'

Opens a document that holds the text, puts the cursor behind it, and prints what would stand there
in grey.
"""

import asyncio
import sys

from lsprotocol import types
from pygls.lsp.client import LanguageClient

URI = "untitled:letter"
INVOKED = types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Invoked)


async def complete(text: str) -> list[str]:
    """Suggestions for the end of `text`, best first."""
    client = LanguageClient("example", "1")
    client.feature("afterword/status")(lambda status: None)  # what a status line would show
    await client.start_io(sys.executable, "-m", "afterword_lsp", "--stdio")
    ghost_text = types.TextDocumentClientCapabilities(
        inline_completion=types.InlineCompletionClientCapabilities()
    )
    capabilities = types.ClientCapabilities(text_document=ghost_text)
    await client.initialize_async(types.InitializeParams(capabilities=capabilities))
    client.initialized(types.InitializedParams())

    document = types.TextDocumentItem(uri=URI, language_id="plaintext", version=1, text=text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=document))
    lines = text.split("\n")
    found = await client.text_document_inline_completion_async(
        types.InlineCompletionParams(
            text_document=types.TextDocumentIdentifier(uri=URI),
            position=types.Position(line=len(lines) - 1, character=len(lines[-1])),
            context=INVOKED,
        )
    )
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    items = found.items if isinstance(found, types.InlineCompletionList) else found or []
    return [item.insert_text for item in items if isinstance(item.insert_text, str)]


if __name__ == "__main__":
    prompt = sys.argv[1]
    for suggestion in asyncio.run(complete(prompt)):
        print(f"{prompt}\033[2m{suggestion}\033[0m" if sys.stdout.isatty() else prompt + suggestion)
