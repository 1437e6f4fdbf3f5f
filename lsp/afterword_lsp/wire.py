"""JSON-RPC by pygls, hardened: bodies in, messages out, and handlers that never fail.

Knows which messages may come when, and what is no message at all; knows nothing of what they mean.
A request that cannot be obeyed is answered with an error, whatever else goes wrong with nothing.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from afterword_daemon import discreet
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol

logger = logging.getLogger(__name__)


class Wire(LanguageServerProtocol):
    """pygls's protocol, given bodies instead of a stream."""

    was_greeted = False
    was_shut_down = False  # from then on nothing is obeyed but the end

    def receive(self, body: bytes) -> None:
        """Handle one message. A request that cannot be obeyed is answered with an error."""
        try:
            data = _json(body)
        except (ValueError, RecursionError):
            logger.warning("a message of %d bytes is no JSON", len(body))
            error = JsonRpcParseError().to_response_error()
            self._send_data({"jsonrpc": "2.0", "id": None, "error": error})
            return
        if not isinstance(data, dict) or "jsonrpc" not in data:
            logger.warning("a message of %d bytes is none of JSON-RPC", len(body))
            return
        method = data.get("method")
        if "method" in data and (refusal := self._refusal(method)):
            if isinstance(data.get("id"), int | str):
                self._send_response(data["id"], error=refusal.to_response_error())
            return
        self.was_greeted |= method == types.INITIALIZE
        try:
            message = self.structure_message(data)
        except Exception as error:  # whatever is in a field that should be something else
            logger.warning("a message is not as LSP has it: %s", type(error).__name__)
            id = data.get("id")
            if "method" in data and isinstance(id, int | str):
                self._send_response(id, error=JsonRpcInvalidParams().to_response_error())
            return
        self.was_shut_down |= method == types.SHUTDOWN
        try:
            self.handle_message(message)
        except Exception as error:
            logger.error("%s", discreet.without_text(error))

    def _refusal(self, method: object) -> JsonRpcException | None:
        """Why a message is not obeyed, by when it comes and what it is called."""
        if method == types.EXIT:
            return None
        if self.was_shut_down:
            return JsonRpcInvalidRequest("the server was shut down")
        if not self.was_greeted and method != types.INITIALIZE:
            return JsonRpcServerNotInitialized("no initialize yet")
        if self.was_greeted and method == types.INITIALIZE:
            return JsonRpcInvalidRequest("a second initialize")
        if not isinstance(method, str):
            return JsonRpcInvalidRequest("a method has a name")
        if method in self.fm.features or method in self.fm.builtin_features:
            return None
        return JsonRpcMethodNotFound(f"no such method: {method}")


def notified(
    handler: Callable[[Any], Any], follow: Callable[[Coroutine[Any, Any, None]], None]
) -> Callable[..., Any]:
    """A handler of notifications for pygls that never fails; `follow` has done what takes time.

    To pygls it is a plain function even if it takes time: of those that it waits for it keeps a
    note for ever, unless they are requests.
    """

    def hear(params: Any = None) -> None:
        try:
            doing = handler(params)
        except Exception as error:
            logger.error("%s", discreet.without_text(error))
        else:
            if asyncio.iscoroutine(doing):
                follow(doing)

    return hear


def answered(handler: Callable[[Any], Any], nothing: Callable[[], Any]) -> Callable[..., Any]:
    """A handler of requests for pygls, whose answer is `nothing` when it fails."""

    async def answer(params: Any) -> Any:
        try:
            return await handler(params)
        except Exception as error:
            logger.error("%s", discreet.without_text(error))
            return nothing()

    return answer


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        # Half of a surrogate pair, written as an escape, is no Unicode, but editors send it.
        return json.loads(body)
