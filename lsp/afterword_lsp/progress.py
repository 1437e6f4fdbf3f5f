"""Learning as editors show work in progress: begun, so many per cent, ended.

Knows LSP's messages for it and their order; knows nothing of learning. An editor may refuse, or
never answer whether it will show anything: then nothing is shown.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from lsprotocol import types

logger = logging.getLogger(__name__)

TITLE: Final = "Afterword learns"


class Progress:
    """What the editor shows, which follows what it is told to show."""

    def __init__(
        self,
        create: Callable[[str], Awaitable[object]],
        say: Callable[[types.ProgressParams], None],
    ) -> None:
        """`create` asks the editor for a place to show one by its name; `say` notifies it."""
        self._create = create
        self._say = say
        self._number = 0  # of trainings that were shown
        self._share: float | None = None  # as it should be; None: nothing goes on
        self._is_shown = False
        self._was_asked = False  # about this training

    async def show(self, share: float | None) -> None:
        """Show so much of the work, 0 to 1, from now on; None: nothing goes on any more."""
        before, self._share = self._share, share
        if share is None:
            self._end()
        elif self._is_shown:
            if _percent(share) != _percent(before or 0.0):
                self._tell(types.WorkDoneProgressReport(percentage=_percent(share)))
        elif not self._was_asked:
            await self._begin()

    async def _begin(self) -> None:
        self._number += 1
        self._was_asked = True
        name = self._name
        try:
            await self._create(name)
        except Exception as error:  # whatever an editor answers, it is only not shown
            logger.info("the editor shows no progress: %s", type(error).__name__)
            return
        if self._was_asked and name == self._name:  # else it has ended meanwhile
            self._is_shown = True
            self._tell(
                types.WorkDoneProgressBegin(
                    title=TITLE, cancellable=False, percentage=_percent(self._share or 0.0)
                )
            )

    def _end(self) -> None:
        self._was_asked = False
        if self._is_shown:
            self._is_shown = False
            self._tell(types.WorkDoneProgressEnd())

    def _tell(
        self,
        value: types.WorkDoneProgressBegin
        | types.WorkDoneProgressReport
        | types.WorkDoneProgressEnd,
    ) -> None:
        self._say(types.ProgressParams(token=self._name, value=value))

    @property
    def _name(self) -> str:
        return f"afterword-{self._number}"


def _percent(share: float) -> int:
    return round(100 * share)
