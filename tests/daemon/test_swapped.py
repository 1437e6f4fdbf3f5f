"""A model that was replaced is gone as soon as nobody is answered by it; so is its room."""

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace

import bases
import pytest
from afterword_daemon.config import Settings
from afterword_daemon.engine import Engine
from afterword_daemon.protocol import Complete

TEXT = "The river rose in the night and fell by day.\n" * 4


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What refers to itself stays: as in a daemon, where the collector seldom comes by."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def request(n_typed: int) -> Complete:
    """Somebody types the text."""
    return Complete(id=n_typed, document="a", before=TEXT[:n_typed])


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("swapped_in", [0, 1, 3])
def test_a_model_that_was_replaced_is_gone_at_once(swapped_in: int) -> None:
    """Whatever it had still to do: between two answers, or when the answer under way is given."""
    model = replace(bases.bundle("you-1"), weights=dict(bases.bundle().weights))
    weight = weakref.ref(model.weights["embedding"])
    engine = Engine(model, Settings())
    del model

    async def type_and_swap() -> None:
        for n_typed in range(60, 80):  # nobody rests, so much is left to be done
            await engine.complete(request(n_typed), lambda: False)
        answer = asyncio.ensure_future(engine.complete(request(10), lambda: False))
        for _ in range(swapped_in):
            await asyncio.sleep(0)
        engine.swap(bases.bundle("you-2"))
        await answer

    asyncio.run(type_and_swap())
    assert weight() is None


RELEASED = """
import sys
from afterword_daemon import heap
if sys.argv[1] == "kept little":
    heap.keep_little()
import psutil
def resident():
    return psutil.Process().memory_info().rss
before = resident()
bytearray(8 << 20)  # from which glibc concludes that this is nothing special
copy = bytearray(8 << 20)
behind = bytes(100_000)
del copy
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the switches are glibc's")
def test_what_was_large_goes_back_at_once() -> None:
    """A copy of the memory, behind which something small has come to lie meanwhile."""
    done = subprocess.run(
        [sys.executable, "-c", RELEASED, "kept little"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) < 4 << 20
