"""LSP's messages: each handler reads one, moves the session, and says what came of it.

Thin; `wire` and this are the rooms that know pygls. An editor never sees an error of ours: what
fails is logged, without text, and answered with nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final, Protocol, cast

from afterword_daemon import discreet
from afterword_trainer import secrets
from afterword_trainer.paths import Paths
from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from afterword_lsp import completion, orders
from afterword_lsp.completion import file_of, position_of
from afterword_lsp.documents import Change, Document, Encoding
from afterword_lsp.opened import OpenDocument
from afterword_lsp.progress import Progress
from afterword_lsp.session import Session
from afterword_lsp.stdio import Pipes
from afterword_lsp.wire import Wire, answered, notified

logger = logging.getLogger(__name__)

SETTINGS_S: Final = 1.0  # for an editor that is asked for its settings; until then all is quiet
STATUS: Final = "afterword/status"
SECTION: Final = "afterword"  # of an editor's settings


class Watch(Protocol):
    """Ends the process when the editor's has ended."""

    def start(self, process: int | None) -> None: ...

    def end_soon(self) -> None: ...


async def serve(paths: Paths, in_fd: int, out_fd: int, watch: Watch) -> int:
    """Serve the editor at the other end of two descriptors until it leaves; the exit code."""
    server = Server(paths, watch)
    pipes = Pipes(server.wire.receive)
    server.protocol.set_writer(cast(Any, pipes))
    await pipes.open(in_fd, out_fd)
    await pipes.left.wait()
    pipes.close()
    await server.session.close()
    return 1 if server.was_told_to_exit and not server.wire.was_shut_down else 0


class Server(LanguageServer):
    """pygls's server with a session, and our handlers in place of its document store."""

    def __init__(self, paths: Paths, watch: Watch) -> None:
        super().__init__(
            "afterword-lsp",
            version("afterword"),
            protocol_cls=Wire,
            converter_factory=default_converter,
        )
        self.session = Session(paths, self._show_status)
        self.watch = watch
        self.folders: tuple[str, ...] = ()  # absolute paths of what is open in the editor
        self.has_ghost_text = False
        self.has_complained = False
        self.was_told_to_exit = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._progress = Progress(
            lambda name: self.window_work_done_progress_create_async(
                types.WorkDoneProgressCreateParams(name)
            ),
            self.progress,
        )
        # pygls's own store walks the text at each change, and takes line ends for what is none.
        for method in (*_DOCUMENTS, types.EXIT, types.WORKSPACE_EXECUTE_COMMAND):
            self.protocol.fm.builtin_features.pop(method, None)
        for method, handler in {**_DOCUMENTS, **_NOTIFICATIONS}.items():
            self.feature(method)(notified(partial(handler, self), self.follow))
        for method, (answer, nothing, offer) in _REQUESTS.items():
            self.feature(method, offer)(answered(partial(answer, self), nothing))
        for name in orders.COMMANDS:
            self.command(name)(_execute)  # to be announced; all of them come by the one request

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Nothing that goes wrong here is worth interrupting somebody who writes."""
        logger.error("%s", type(error).__name__)

    @property
    def wire(self) -> Wire:
        """What it was made with."""
        return cast(Wire, self.protocol)

    @property
    def encoding(self) -> Encoding:
        """How the editor counts characters, as agreed at the start."""
        agreed = self.workspace.position_encoding
        return cast(Encoding, getattr(agreed, "value", agreed))

    def complain(self, mistakes: tuple[str, ...]) -> None:
        """Say once what is wrong with the settings."""
        if mistakes and not self.has_complained:
            self.has_complained = True
            text = f"Afterword: {'; '.join(mistakes)}. The defaults are used instead."
            self.window_show_message(types.ShowMessageParams(types.MessageType.Warning, text))

    def follow(self, doing: Coroutine[Any, Any, None]) -> None:
        """Have something done that takes time, and look at how it ends."""
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._followed)

    def _followed(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("%s", discreet.without_text(error))

    def _show_status(self, status: dict[str, Any]) -> None:
        wanted = self.session.options.status
        if self.has_ghost_text if wanted is None else wanted:
            self.protocol.notify(STATUS, status)
        window = self.client_capabilities.window
        if window and window.work_done_progress:
            shown = self._progress.show(status["work"], status["percent"], status["forgotten"])
            self.follow(shown)


# -- beginning and end -------------------------------------------------------------------------


def _initialize(server: Server, params: types.InitializeParams) -> None:
    server.watch.start(params.process_id)
    folders = [folder.uri for folder in params.workspace_folders or ()]
    if not folders and params.root_uri:
        folders = [params.root_uri]
    server.folders = tuple(path for uri in folders if (path := file_of(uri)))
    documents = params.capabilities.text_document
    server.has_ghost_text = bool(documents and documents.inline_completion)
    given = params.initialization_options
    mistakes = server.session.begin(given if isinstance(given, Mapping) else {})
    if given is not None and not isinstance(given, Mapping):
        mistakes = ("the settings are not an object",)
    server.complain(mistakes)


async def _initialized(server: Server, _: types.InitializedParams) -> None:
    workspace = server.client_capabilities.workspace
    try:
        if workspace and workspace.configuration:
            await _pull(server)
    finally:
        server.session.settle()
    if workspace and (told := workspace.did_change_configuration) and told.dynamic_registration:
        registration = types.Registration(
            id="settings",
            method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
            register_options={"section": SECTION},
        )
        await server.client_register_capability_async(types.RegistrationParams([registration]))


async def _settings_changed(server: Server, params: types.DidChangeConfigurationParams) -> None:
    workspace = server.client_capabilities.workspace
    given = params.settings
    if isinstance(given, Mapping) and isinstance(given.get(SECTION), Mapping):
        server.complain(server.session.configure(given[SECTION]))
    elif workspace and workspace.configuration:
        await _pull(server)


async def _pull(server: Server) -> None:
    """Ask the editor for its settings; one that does not answer has none."""
    wanted = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
    with suppress(asyncio.TimeoutError):
        asked = server.workspace_configuration_async(wanted)
        found = await asyncio.wait_for(asked, SETTINGS_S)
        if found and isinstance(found[0], Mapping):
            server.complain(server.session.configure(found[0]))


def _folders_changed(server: Server, params: types.DidChangeWorkspaceFoldersParams) -> None:
    gone = {file_of(folder.uri) for folder in params.event.removed}
    come = [file_of(folder.uri) for folder in params.event.added]
    server.folders = tuple(p for p in (*server.folders, *come) if p and p not in gone)


def _shutdown(server: Server, _: None) -> None:
    server.watch.end_soon()


def _exit(server: Server, _: None) -> None:
    server.was_told_to_exit = True
    cast(Pipes, server.protocol.writer).left.set()


# -- documents ---------------------------------------------------------------------------------


def _did_open(server: Server, params: types.DidOpenTextDocumentParams) -> None:
    item = params.text_document
    file = completion.file_of(item.uri)
    server.session.opened(
        OpenDocument(
            uri=item.uri,
            document=Document(item.text, item.version, server.encoding),
            path=completion.path_of(item.uri, server.folders),
            language=completion.language_of(item.language_id),
            editors_language=item.language_id,
            is_secret=secrets.is_secret_file(file.replace("\\", "/")),
        )
    )


def _did_change(server: Server, params: types.DidChangeTextDocumentParams) -> None:
    doc = server.session.documents.get(params.text_document.uri)
    if doc is None:
        return
    changes = [_change(event) for event in params.content_changes]
    doc.document.apply(params.text_document.version, changes)
    last = changes[-1].start if changes else None
    server.session.changed(doc, doc.document.place(last) if last else doc.document.end)


def _did_close(server: Server, params: types.DidCloseTextDocumentParams) -> None:
    if doc := server.session.documents.get(params.text_document.uri):
        server.session.closed(doc)


def _did_save(server: Server, params: types.DidSaveTextDocumentParams) -> None:
    if doc := server.session.documents.get(params.text_document.uri):
        server.session.saved(doc)


def _change(event: types.TextDocumentContentChangeEvent) -> Change:
    if isinstance(event, types.TextDocumentContentChangeWholeDocument):
        return Change(event.text)
    return Change(event.text, position_of(event.range.start), position_of(event.range.end))


# -- suggestions -------------------------------------------------------------------------------


async def _inline_completion(
    server: Server, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    """Ghost text. None, for what was superseded, leaves the one on the screen in some editors."""
    doc = server.session.documents.get(params.text_document.uri)
    if doc is None:
        return _no_ghost_text()
    document, context = doc.document, params.context
    cursor = document.place(position_of(params.position))
    spot = completion.spot_at(document, cursor, context.selected_completion_info)
    if spot is None:
        return _no_ghost_text()
    invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    completed = await server.session.suggest(doc, spot, invoked=invoked)
    if completed is None:
        return None
    items = completion.as_in(document, spot, completed.items)
    server.session.show(doc, spot.end, items)
    return types.InlineCompletionList(completion.inline_items(document, spot, items))


async def _popup_completion(
    server: Server, params: types.CompletionParams
) -> types.CompletionList | None:
    """The same as entries of a menu, for editors without ghost text."""
    doc = server.session.documents.get(params.text_document.uri)
    wanted = server.session.options.popup
    if doc is None or not (not server.has_ghost_text if wanted is None else wanted):
        return _no_entries()
    document = doc.document
    spot = completion.spot_of_word(document, document.place(position_of(params.position)))
    kind = params.context.trigger_kind if params.context else None
    invoked = kind in (None, types.CompletionTriggerKind.Invoked)
    completed = await server.session.suggest(doc, spot, invoked=invoked)
    if completed is None:
        return None
    items = completion.as_in(document, spot, completed.items)
    entries = completion.popup_items(document, spot, items)
    server.session.show(doc, spot.end, items if entries else ())
    return types.CompletionList(is_incomplete=True, items=entries)


def _no_ghost_text() -> types.InlineCompletionList:
    return types.InlineCompletionList(items=[])


def _no_entries() -> types.CompletionList:
    # Incomplete: asked again at the next key, when there may be something.
    return types.CompletionList(is_incomplete=True, items=[])


# -- commands ----------------------------------------------------------------------------------


async def _execute(server: Server, params: types.ExecuteCommandParams) -> dict[str, Any]:
    argument = params.arguments[0] if params.arguments else None
    if not isinstance(argument, str | None):  # to be taken for none, it could mean another document
        return {"error": f"{params.command[:40]}: its argument is a text, such as a URI, or none"}
    return await orders.obeyed(
        server.session, params.command, argument or "", folders=server.folders
    )


# -- what is handled by whom -------------------------------------------------------------------

_DOCUMENTS: Final[dict[str, Callable[[Server, Any], None]]] = {
    types.TEXT_DOCUMENT_DID_OPEN: _did_open,
    types.TEXT_DOCUMENT_DID_CHANGE: _did_change,
    types.TEXT_DOCUMENT_DID_SAVE: _did_save,
    types.TEXT_DOCUMENT_DID_CLOSE: _did_close,
    types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS: _folders_changed,
}
_NOTIFICATIONS: Final[dict[str, Callable[[Server, Any], Any]]] = {
    types.INITIALIZE: _initialize,
    types.INITIALIZED: _initialized,
    types.SHUTDOWN: _shutdown,
    types.EXIT: _exit,
    types.WORKSPACE_DID_CHANGE_CONFIGURATION: _settings_changed,
}
_REQUESTS: Final[dict[str, tuple[Callable[[Server, Any], Any], Callable[[], Any], Any]]] = {
    # Without options of its own pygls would not announce it.
    types.TEXT_DOCUMENT_INLINE_COMPLETION: (
        _inline_completion,
        _no_ghost_text,
        types.InlineCompletionOptions(),
    ),
    # Said in so many words, as some editors (Vim with ALE) take an empty object for "none".
    types.TEXT_DOCUMENT_COMPLETION: (
        _popup_completion,
        _no_entries,
        types.CompletionOptions(resolve_provider=False),
    ),
    types.WORKSPACE_EXECUTE_COMMAND: (
        _execute,
        dict,
        types.ExecuteCommandOptions(list(orders.COMMANDS)),
    ),
}
