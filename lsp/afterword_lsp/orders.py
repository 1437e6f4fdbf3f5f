"""What the user orders in the editor: a command with one argument or none, answered by an object.

Knows the commands and what each comes to; knows nothing of LSP's messages. An answer says under
"error" why nothing was done.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Final

from afterword_daemon import protocol
from afterword_daemon.starting import DaemonError, RefusedError

from afterword_lsp import completion, status
from afterword_lsp.session import Session

COMMANDS: Final = (
    completion.ACCEPT,
    "afterword.toggle",
    "afterword.pause",
    "afterword.resume",
    "afterword.learnWorkspace",
    "afterword.forgetFile",
    "afterword.whyNoSuggestion",
    "afterword.status",
    "afterword.statistics",
    "afterword.settings",
)


async def obeyed(
    session: Session, command: str, argument: str, *, folders: Sequence[str] = ()
) -> dict[str, Any]:
    """What a command with one argument, or "", comes to; `folders` are open in the editor."""
    try:
        return await _obeyed(session, command, argument, folders)
    except DaemonError as error:
        return {"error": str(error)}


async def _obeyed(
    session: Session, command: str, argument: str, folders: Sequence[str]
) -> dict[str, Any]:
    match command:
        case completion.ACCEPT:
            session.accepted(argument)
            return {}
        case "afterword.toggle":
            return {"enabled": session.toggle(argument)}
        case "afterword.pause":
            return await session.ask("pause")
        case "afterword.resume":
            return await session.ask("resume")
        case "afterword.learnWorkspace":
            named = completion.file_of(argument) or _path(argument)  # which is understood as well
            return await _learned(session, [named] if named else folders)
        case "afterword.forgetFile":
            return await _forgotten(session, argument)
        case "afterword.whyNoSuggestion":
            return await _why(session, argument)
        case "afterword.status":
            if doc := session.documents.get(argument):
                session.work_on(doc)  # who asks how it is there looks at it
            daemon = await session.ask("status") if session.is_connected else None
            return {**session.status(), "daemon": daemon}
        case "afterword.statistics":
            facts = await session.ask("stats")
            return facts | {"latency_ms": (await session.ask("status")).get("latency_ms")}
        case "afterword.settings":
            return await session.ask("settings")
    return {"error": f"{command[:40]}: there is no such command"}


async def _learned(session: Session, folders: Sequence[str]) -> dict[str, Any]:
    """Have folders learned from on."""
    if not folders:
        return {"error": "no folder is open; open one, or name one to learn from"}
    watched: dict[str, Any] = {}
    for folder in folders:
        if too_long := _too_long(folder):
            return {"error": too_long}
        watched = await session.ask("watch", protocol.name_of(folder))
    return watched


async def _forgotten(session: Session, uri: str) -> dict[str, Any]:
    """Have a file forgotten, or the document that was last worked on.

    What is open and was never saved was never learned for good; it is let go.
    """
    doc = session.documents.get(uri) if uri else session.last
    named = doc.uri if doc else uri
    if file := completion.file_of(named) or (_path(named) if named.startswith("/") else ""):
        if too_long := _too_long(file):
            return {"error": too_long}
        try:
            return await session.ask("forget", protocol.name_of(file))
        except RefusedError:
            if doc is None or await asyncio.to_thread(os.path.lexists, file):
                raise
    if doc is None:
        return {"error": "no such document is open"}
    session.let_go(doc)
    return {"let_go": doc.uri, "explanation": session.status(doc)["detail"]}


def _path(written: str) -> str:
    """A path that an editor wrote out; halves of characters become bytes that no file has."""
    return os.fsdecode(written.encode(errors="surrogatepass"))


def _too_long(path: str) -> str:
    """Why nobody can do anything with such a path; "" for one of a usual length."""
    n_bytes = len(os.fsencode(path))
    if n_bytes <= protocol.MOST_BYTES_OF_PATH:
        return ""
    return (
        f"a path of {n_bytes:,} bytes is longer than any system opens, so nothing was ever read "
        "there; name a shorter one"
    )


async def _why(session: Session, uri: str) -> dict[str, Any]:
    """Why nothing is shown in a document, or in the one that was last worked on."""
    doc = session.documents.get(uri) if uri else session.last
    if doc is None:
        return {"reason": "no-document", "explanation": "no document is open"}
    if reason := session.off(doc):
        return {"reason": reason, "explanation": status.explained(reason, doc.editors_language)}
    if not doc.document.is_synced:
        why = "the text is not known for certain; open it again"
        return {"reason": "unsynced", "explanation": why}
    try:
        return await session.ask("why", doc.name)
    except DaemonError as error:
        return {"reason": "no-daemon", "explanation": str(error)}
