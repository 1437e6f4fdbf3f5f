"""Errors as they may be kept in a file: their kind and their places, and no text of the user.

The message of an error stays out, as it may quote what was being worked on; so do lines of source.
"""

import os
import sys
import threading
from types import TracebackType

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


def be_discreet() -> None:
    """Tell so, on standard error, of what nobody catches, from now on and in every thread."""
    sys.excepthook = _tell
    threading.excepthook = lambda told: _tell(told.exc_type, told.exc_value, told.exc_traceback)


def _tell(kind: type[BaseException], error: BaseException | None, _: TracebackType | None) -> None:
    sys.stderr.write(f"{without_text(error) if error else kind.__name__}\n")
