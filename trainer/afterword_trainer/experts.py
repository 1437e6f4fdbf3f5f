"""What serves a user, whole and in its parts: the experts that are measured beside each other.

The network knows how people write, the memory what this user wrote; a mixer weighs them. Knows
bundles and documents; measures nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TypeVar

from afterword_trainer.evaluation import Expert, Reader
from afterword_trainer.measures import Page
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.step import open_predictor
from afterword_trainer.scores import FROZEN_MIX, MEMORY, MIX, network_row
from afterword_trainer.stream import Document

DocumentT = TypeVar("DocumentT", bound=Document)


def of_bundle(bundle: Bundle, documents: Sequence[Document]) -> list[Expert]:
    """The mix as it is served, which is the one that counts, then the mix frozen and its parts.

    The memory learns `documents`, oldest first. In the mix, and alone, it goes on learning from
    what is typed, and the mixer with it; frozen, neither does. Raises BundleCorruptError for a
    bundle that cannot be run.
    """
    network = open_predictor(bundle)

    @cache
    def remembered() -> Memory:
        memory = Memory(bundle.alphabet)
        for number, document in enumerate(documents):
            # Two folders may hold a path each; the number tells them apart.
            memory.learn(f"{number} {document.path}", bundle.alphabet.encode(document.text))
        return memory

    @cache
    def stored() -> bytes:
        return b"".join(remembered().dump())

    def memory() -> Memory:
        return Memory.restored(stored(), bundle.alphabet)  # far quicker than to learn once more

    def mix() -> Mix:
        return Mix(network.fork(), memory(), Mixer.default(), learning=True)

    def frozen_mix() -> Mix:
        return Mix(network.fork(), remembered(), Mixer.default(), learning=False)

    def memory_alone() -> Mix:
        return Mix(None, memory(), Mixer.default(alone=True), learning=True)

    return [
        Expert(name=MIX, make=mix, listed=True),
        Expert(name=FROZEN_MIX, make=frozen_mix),
        Expert(name=network_row(bundle.spec.cell), make=network.fork, listed=True),
        Expert(name=MEMORY, make=memory_alone),
    ]


def newest(documents: Iterable[DocumentT], n_characters: int) -> list[DocumentT]:
    """The last documents that hold `n_characters` together, or all there are, in their order.

    Holds no more of them than these, so that memory does not grow with the corpus.
    """
    kept: deque[DocumentT] = deque()
    n_kept = 0
    for document in documents:
        kept.append(document)
        n_kept += len(document.text)
        while n_kept - len(kept[0].text) >= n_characters:
            n_kept -= len(kept.popleft().text)
    return list(kept)


def dynamic_network(bundle: Bundle) -> Mapping[str, Reader]:
    """A row for the network whose weights learn from what it reads; it takes TensorFlow."""

    def read(pages: Sequence[Page], on_read: Callable[[int], object]) -> float:
        from afterword_trainer import dynamic  # slow: it imports TensorFlow

        runs = [
            run
            for page in pages
            for run in ((page.header, False), (bundle.alphabet.encode(page.text), True))
        ]
        return dynamic.bits(bundle.spec, bundle.weights, runs, on_read)

    return {network_row(bundle.spec.cell, dynamic=True): read}
