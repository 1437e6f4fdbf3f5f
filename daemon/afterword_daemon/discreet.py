"""What an event loop complains of, as it may be written to a log: no text of the user.

How an error is told, `afterword_trainer.discreet` knows.
"""

import asyncio
import logging
from typing import Any

from afterword_trainer.discreet import without_text

__all__ = ["log_of_loop", "without_text"]

logger = logging.getLogger(__name__)


def log_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler of an event loop, for what nobody else has caught."""
    error = context.get("exception")
    what = without_text(error) if error else "no more is known"
    logger.error("%s: %s", context.get("message"), what)
