"""Learning and forgetting as an editor shows work in progress."""

import asyncio
from typing import Any

import pytest
from afterword_lsp.progress import Progress
from lsprotocol import types


class Window:
    """An editor that shows progress, or will not."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.refuses = False
        self.answer = asyncio.Event()
        self.answer.set()

    async def create(self, name: str) -> None:
        """Make a place for it, once the editor gets to it."""
        self.seen.append(("create", name))
        await self.answer.wait()
        if self.refuses:
            raise RuntimeError("no")

    def say(self, params: types.ProgressParams) -> None:
        """Show it."""
        value = params.value
        if isinstance(value, types.WorkDoneProgressEnd):
            self.seen.append((params.token, "end", value.message))
        else:
            self.seen.append((params.token, value.kind, value.percentage))


async def shown(window: Window, *percents: int | None) -> list[tuple[Any, ...]]:
    """What an editor sees of learning that goes on so far; None: of none."""
    progress = Progress(window.create, window.say)
    for percent in percents:
        await progress.show("" if percent is None else "learning", percent)
    return window.seen


@pytest.mark.asyncio
async def test_it_begins_goes_on_and_ends() -> None:
    """Each per cent is told once; the next training has a place of its own."""
    assert await shown(Window(), None, 0, 0, 25, 25, None, None, 50, None) == [
        ("create", "afterword-1"),
        ("afterword-1", "begin", 0),
        ("afterword-1", "report", 25),
        ("afterword-1", "end", None),
        ("create", "afterword-2"),
        ("afterword-2", "begin", 50),
        ("afterword-2", "end", None),
    ]


@pytest.mark.asyncio
async def test_an_editor_that_refuses_sees_nothing() -> None:
    """And is not asked again before the next training."""
    window = Window()
    window.refuses = True
    assert await shown(window, 10, 20, 30, None, 10) == [
        ("create", "afterword-1"),
        ("create", "afterword-2"),
    ]


@pytest.mark.asyncio
async def test_what_ends_before_the_editor_answers_is_not_shown() -> None:
    """Nor is it asked twice meanwhile."""
    window = Window()
    window.answer.clear()
    progress = Progress(window.create, window.say)
    asking = asyncio.ensure_future(progress.show("learning", 10))
    await asyncio.sleep(0)
    await progress.show("learning", 20)
    await progress.show("")
    window.answer.set()
    await asking

    assert window.seen == [("create", "afterword-1")]


@pytest.mark.asyncio
async def test_forgetting_takes_the_place_of_learning_and_says_what_came_of_it() -> None:
    """Each is a work of its own; how far forgetting is may not be known."""
    window = Window()
    progress = Progress(window.create, window.say)
    await progress.show("learning", 50)
    await progress.show("forgetting")
    await progress.show("forgetting", 25)
    await progress.show("", outcome="the model was made without it")

    assert window.seen == [
        ("create", "afterword-1"),
        ("afterword-1", "begin", 50),
        ("afterword-1", "end", None),
        ("create", "afterword-2"),
        ("afterword-2", "begin", 0),
        ("afterword-2", "report", 25),
        ("afterword-2", "end", "the model was made without it"),
    ]
