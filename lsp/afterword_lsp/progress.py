"""Learning and forgetting as editors show work in progress: begun, so many per cent, ended.

Knows LSP's messages for it and their order; knows nothing of the work. An editor may refuse, or
never answer whether it will show anything: then nothing is shown.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from lsprotocol import types

logger = logging.getLogger(__name__)

# By the work, as `status` has it.
TITLES: Final = {"learning": "Afterword learns", "forgetting": "Afterword forgets"}


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
        self._number = 0  # of works that were shown
        self._work = ""  # that goes on; "": none
        self._percent = 0  # as it should be
        self._is_shown = False
        self._was_asked = False  # about this work

    async def show(self, work: str, percent: int | None = None, outcome: str = "") -> None:
        """Show so much of a work, 0 to 100, from now on.

        With "" nothing goes on any more; `outcome` is what came of it, for people.
        """
        if work != self._work:
            self._end(outcome)
        before, self._work, self._percent = self._percent, work, percent or 0
        if self._is_shown and self._percent != before:
            self._tell(types.WorkDoneProgressReport(percentage=self._percent))
        elif work and not self._was_asked:
            await self._begin(TITLES[work])

    async def _begin(self, title: str) -> None:
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
                    title=title, cancellable=False, percentage=self._percent
                )
            )

    def _end(self, outcome: str) -> None:
        self._was_asked = False
        if self._is_shown:
            self._is_shown = False
            self._tell(types.WorkDoneProgressEnd(message=outcome or None))

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
