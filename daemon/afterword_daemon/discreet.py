"""Errors as they may be written to a log: their kind and their places, and no text of the user.

The message of an error stays out, as it may quote what was being worked on.
"""

import asyncio
import logging
import os
from typing import Any

logger = logging.getLogger(__name__)

MOST_PLACES = 8  # the innermost; a recursion has a thousand


def without_text(error: BaseException) -> str:
    """Kind and places of an error, the innermost first: "KeyError at engine.py:9 < server.py:4"."""
    places = []
    trace = error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        places.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}")  # noqa: PTH119
        trace = trace.tb_next
    return f"{type(error).__name__} at {' < '.join(places[: -MOST_PLACES - 1 : -1])}"


def log_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler of an event loop, for what nobody else has caught."""
    error = context.get("exception")
    what = without_text(error) if error else "no more is known"
    logger.error("%s: %s", context.get("message"), what)
