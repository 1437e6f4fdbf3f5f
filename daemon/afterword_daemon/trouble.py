"""What cannot be written for now: told once when it begins and once when it is over.

Who fails keeps what it has and tries again by itself; here is what to say meanwhile. Knows
sentences; writes nothing.
"""

import logging

from afterword_trainer import durable

logger = logging.getLogger(__name__)


class Trouble:
    """Of one thing that is to be written."""

    def __init__(self, what: str) -> None:
        """`what` cannot be done, as the beginning of a sentence: "the memory cannot be stored"."""
        self._what = what
        self.sentence = ""  # with path, cause and remedy; "" while all is well

    def begin(self, error: Exception) -> None:
        """It failed, perhaps again."""
        cause = durable.without_path(error)
        if not self.sentence:
            logger.error("%s: %s", self._what, cause)  # a log has no paths
        self.sentence = f"{self._what}: {error}"

    def end(self) -> None:
        """It worked."""
        if self.sentence:
            logger.info("no longer so: %s", self._what)
        self.sentence = ""
