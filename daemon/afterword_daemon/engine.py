"""The answer: what to offer at a cursor, or the reason why nothing.

Knows the model, what documents taught it, and settings; knows neither sockets nor files. An answer
depends on the request, on the messages before it and on the settings; whatever is kept beyond that
(states, rollouts that the user types along with, those for keys that may come) only makes it fast,
and `caching=False` shows it. One request is answered at a time, in the order they come; only while
one reads its way after a jump do others go before, which need a hundredth of that.

    Superseded    nobody waits for the answer any more
"""

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.predictor import Symbols
from afterword_trainer.model.suggestion import Continuation, Policy, Suggestion, choices, cut
from afterword_trainer.remembering import Remembered

from afterword_daemon import shaping
from afterword_daemon.config import Settings
from afterword_daemon.library import Library
from afterword_daemon.protocol import Complete, Completed, Item, Outcome, Remember
from afterword_daemon.reasons import EXPLANATIONS, Reason, Why
from afterword_daemon.recollection import Found, secrets_around
from afterword_daemon.served import Cursor, Document, Drawing, Served, Shown, empty, read
from afterword_daemon.shaping import Misfit
from afterword_daemon.tally import Tally

SettingT = TypeVar("SettingT")


class Superseded(Exception):
    """A newer request has taken the place of this one."""


class Engine:
    """A model in use, and what it knows of the documents that are open."""

    def __init__(
        self,
        bundle: Bundle | None,
        settings: Settings,
        *,
        remembered: Remembered | None = None,
        tally: Tally | None = None,
        caching: bool = True,  # False, for tests: the same answers, slowly
    ) -> None:
        """`remembered` goes on learning; None: a memory that is empty.

        Raises BundleCorruptError for a model that cannot be run.
        """
        self._settings = settings
        self._is_paused = False
        self._caching = caching
        self._tally = tally or Tally()
        self._numbers = itertools.count(1)  # of suggestions
        self._turn = asyncio.Lock()
        self._reasons: OrderedDict[str, Why] = OrderedDict()
        self._languages: dict[str, str] = {}  # of documents of which something may be known
        self._model = Served(bundle, remembered, caching) if bundle else None

    def swap(self, bundle: Bundle) -> None:
        """Answer by another model from the next request on; may be called in another thread.

        The memory stays if the alphabet does; else another one begins, that is to be told anew
        what files hold. Raises BundleCorruptError.
        """
        model = self._model
        if model is None:
            other = Served(bundle, None, self._caching)
        elif model.alphabet == bundle.alphabet:
            other = Served(bundle, model.remembered, self._caching)
            other.recollection, other.library = model.recollection, model.library
        else:
            other = Served(bundle, empty(bundle.alphabet, model.mixer), self._caching)
        self._model = other  # last, and at once: answers may be made meanwhile
        if model:
            model.rest()

    @property
    def library(self) -> Library | None:
        """What the memory holds of saved files; None without a model."""
        return self._model.library if self._model else None

    # -- what the user wants -------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """From the next request on they may be others."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        if not self._model:
            return
        # It was handed over under other settings. Whoever has it open tells it again.
        self._model.drop()
        if not settings.learning.enable:
            self._model.recollection.close_all()
        for document, language in list(self._languages.items()):
            if not settings.enabled_for(language):
                self.close(document)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is to be learned for now, nor what was waiting to be."""
        return self._is_paused

    @is_paused.setter
    def is_paused(self, is_paused: bool) -> None:
        self._is_paused = is_paused
        if self._model:
            self._model.drop()  # at the end too: what was typed meanwhile, and not yet asked about

    # -- messages ------------------------------------------------------------------------------

    async def complete(
        self, request: Complete, superseded: Callable[[], bool], *, learn: bool = True
    ) -> Completed:
        """The answer, best suggestion first. Lets others run after every millisecond of work.

        What was typed is learned from, unless the file is to be forgotten: then `learn` is False.
        Raises Superseded as soon as `superseded` says so.
        """
        # No task of its own: between two steps all is as it should be, and there alone it may be
        # given up. What was typed before is learned all the same, then before the next answer.
        answering = self._answer(request, learn)
        while True:
            async with self._turn:
                may_wait: bool | None = None  # for others, who may be many and need little
                while not may_wait:
                    if superseded():
                        self._note(request.document, Why(Reason.SUPERSEDED))
                        raise Superseded
                    until = time.perf_counter() + _PATIENCE_S
                    try:
                        while time.perf_counter() < until:
                            may_wait = next(answering)
                    except StopIteration as done:
                        completed: Completed = done.value
                        return completed
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

    def remember(self, message: Remember) -> None:
        """Expect the text of an open document again, as soon as there is time to learn it."""
        if self._model and self._may_learn(message.language):
            self._languages[message.document] = message.language
            self._model.recollection.remember(message.document, message.text)

    def close(self, document: str) -> None:
        """Forget a document that was open."""
        self._reasons.pop(document, None)
        self._languages.pop(document, None)
        if self._model:
            self._model.forget(document)

    def outcome(self, message: Outcome) -> None:
        """Count what became of a suggestion."""
        if self.settings.stats:
            self._tally.count(message.suggestion, message.event, message.characters)

    def work(self) -> bool:
        """Three milliseconds, or one step that takes longer, of what can wait.

        To be called again and again while nobody waits for an answer; False: nothing is left.
        """
        model = self._model
        if not model or self._turn.locked():
            return False
        until = time.perf_counter() + _SLICE_S
        for _ in model.teaching:
            if time.perf_counter() > until:
                return True
        if model.library.work() or model.recollection.work():
            model.epoch += 1
            return True
        if not self._caching:
            return False
        while time.perf_counter() < until:
            if next(model.ahead, _DONE) is _DONE:
                return False
        return True

    def counts_due(self) -> Callable[[], None] | None:
        """What stores the counts, if it is time to: to be called in another thread.

        There it raises durable.StateError.
        """
        return self._tally.due()

    def finish(self) -> None:
        """Store the counts. Raises durable.StateError."""
        self._tally.save()

    # -- facts ---------------------------------------------------------------------------------

    def why(self, document: str) -> dict[str, Any]:
        """What became of the last request of a document; {} if there was none."""
        why = self._reasons.get(document)
        if why is None:
            return {}
        facts: dict[str, Any] = {
            "reason": why.reason.value if why.reason else "",
            "explanation": EXPLANATIONS[why.reason] if why.reason else "there was a suggestion",
        }
        if why.probability is not None:
            facts |= {"probability": why.probability, "min_probability": why.min_probability}
        return facts

    def stats(self) -> dict[str, Any]:
        """Counts of suggestions, by day and by how sure the model was; whether it goes on."""
        asked = self.settings.min_probability
        gate = {"min_probability": asked, "corrected": self._corrected(asked)}
        return {**self._tally.facts(), "gate": gate, "counting": self.settings.stats}

    def clear_stats(self) -> None:
        """Forget all counts. Raises durable.StateError."""
        self._tally.clear()

    def memory_by_part(self) -> dict[str, int]:
        """Bytes of each part that can grow, and of the network."""
        model = self._model
        if not model:
            return {}
        return {
            "network": model.network_bytes,
            "states": model.states.n_bytes,
            "rollouts": sum(1 + len(prepared.ahead) for prepared in model.prepared.values())
            * model.place_bytes,
            "memory": model.memory.n_bytes,
            "mixer": model.mixer.values.nbytes,
        }

    # -- an answer, step by step ---------------------------------------------------------------

    def _answer(self, request: Complete, learn: bool) -> Generator[bool | None, None, Completed]:
        """Each iteration is a step of the network, or a few; True where others may go before."""
        model = self._model
        reason = self._unwanted(request)
        if reason or not model:
            reason = reason or Reason.NO_MODEL
            self._note(request.document, Why(reason))
            return Completed(id=request.id, reason=reason.value, model=model.id if model else "")
        model.ahead = iter(())
        self._languages[request.document] = request.language
        # 1) Where are we? After a jump it takes as long as many answers that need no reading.
        symbols = model.symbols(request.path, request.language, request.before)
        document = model.document(request.document)
        document.see(symbols)
        for _ in model.states.prime(symbols, request.document):
            yield True
        # 2) What was typed before is learned first, so that the answer does not depend on
        #    whether there was time for it.
        while next(model.teaching, _DONE) is not _DONE:  # it may be dropped meanwhile
            yield None
        #    What the user had forgotten, on the other hand, is gone.
        while model.library.must_forget:
            model.library.work()
            model.epoch += 1
            yield None
        found = secrets_around(request.before, request.after)
        model.take_back(request.document, found)
        trail = yield from model.states.prime(symbols, request.document)
        # 3) What may come?
        drawing = self._drawing(request)
        kept = document.kept if drawing.temperature else ()
        cursor = Cursor(request.document, symbols, trail, drawing, kept)
        policy, n = self._policy(request), 1
        if request.invoked:
            n = self._n_alternatives(request)
            policy = replace(policy, negligible=_NEGLIGIBLE_IN_LIST)
            rollouts = model.alternatives(cursor, n)
        else:
            rollouts = [model.rollout(cursor)]
        while len(rollouts[0].symbols) < len(kept):  # however improbable it has become
            rollouts[0].grow()
        paths: list[_Path] = []
        for rollout in rollouts:
            expected = yield from read(rollout, model, policy)
            paths.append(_Path(expected, model.alphabet.decode(rollout.symbols)))
        # 4) What of it fits?
        if request.invoked:
            offers, why = _listed(paths, request, policy, n)
        else:
            n_kept = len(model.alphabet.decode(kept))
            offer, why = _offered(paths[0], request, policy, n_kept)
            offers = [offer] if offer else []
            shown = model.alphabet.encode(offer.suggestion.text) if offer else ()
            kept = tuple(rollouts[0].symbols[: len(shown)]) if drawing.temperature else ()
            document.kept = kept
            cursor = replace(cursor, kept=kept)
        if why.reason is Reason.NOTHING and not request.before.strip():
            why = replace(why, reason=Reason.NO_TEXT)
        self._note(request.document, why)
        items = self._items(document, offers, symbols, model)
        # 5) Afterwards: learn whole words, unless the document was closed meanwhile or another
        #    editor, that has it too, was faster; and look ahead. Not by a model that has been
        #    replaced: it is to be gone as soon as it has answered.
        if model is self._model:
            if model.documents.get(request.document) is document and document.symbols is symbols:
                may_learn = learn and self._may_learn(request.language)
                self._learn(model, document, request, found if may_learn else None)
            if not request.invoked:
                model.ahead = model.look_ahead(cursor, policy)
        code = why.reason.value if why.reason else ""
        return Completed(id=request.id, items=items, reason=code, model=model.id)

    def _learn(
        self, model: Served, document: Document, request: Complete, found: Sequence[Found] | None
    ) -> None:
        """Have the words that were completed learned before the next answer.

        But for those in a line with a secret, as it was `found`; None: nothing may be learned.
        """
        if found is None:
            document.n_typed = 0  # nor is it learned later
            return
        begin, end = document.take_words(model.ends_word)
        if begin == end:
            return
        # In characters from the cursor on, as the lines are.
        first = -len(model.alphabet.decode(document.symbols[begin:]))
        last = first + len(model.alphabet.decode(document.symbols[begin:end]))
        if not any(one.begin < last and first < one.end for one in found):
            model.teach(request.document, document.symbols[:end], begin)

    def _unwanted(self, request: Complete) -> Reason | None:
        if not self._model:
            return Reason.NO_MODEL
        if not self.settings.enabled_for(request.language):
            return Reason.DISABLED
        if self.settings.trigger == "manual" and not request.invoked:
            return Reason.MANUAL
        if len(request.before) - request.before.rfind("\n") > _LONGEST_LINE:
            return Reason.LONG_LINE
        return None

    def _may_learn(self, language: str) -> bool:
        is_wanted = self.settings.learning.enable and self.settings.enabled_for(language)
        return is_wanted and not self._is_paused

    def _policy(self, request: Complete) -> Policy:
        options, settings = request.options, self.settings
        gate = _either(options.min_probability, settings.min_probability)
        return Policy(
            max_characters=_either(options.max_characters, settings.max_characters),
            multiline=_either(options.multiline, settings.multiline),
            min_probability=self._corrected(gate),
        )

    def _corrected(self, min_probability: float) -> float:
        return self._tally.gate(min_probability) if self.settings.stats else min_probability

    def _drawing(self, request: Complete) -> Drawing:
        options, settings = request.options, self.settings
        temperature = _either(options.temperature, settings.temperature)
        return Drawing(temperature, _either(options.seed, settings.seed))

    def _n_alternatives(self, request: Complete) -> int:
        return _either(request.options.alternatives, self.settings.alternatives)

    def _items(
        self,
        document: Document,
        offers: "Sequence[_Offer]",
        symbols: Symbols,
        model: Served,
    ) -> tuple[Item, ...]:
        """The offers with their ids; one that is merely typed along with keeps its own."""
        before, document.items = document.items, []
        items = []
        for offer in offers:
            text = offer.shaped.text
            end = len(symbols) + len(model.alphabet.encode(text))
            same = (known for known in before if known.end == end and known.text.endswith(text))
            known = next(same, None)
            number = known.id if known else str(next(self._numbers))
            document.items.append(Shown(number, text, end))
            self._tally.offered(number, offer.suggestion.probability)
            items.append(
                Item(
                    id=number,
                    text=text,
                    replaces=offer.shaped.replaces,
                    probability=offer.suggestion.probability,
                )
            )
        document.offered = [model.alphabet.encode(item.text) for item in items]
        return tuple(items)

    def _note(self, document: str, why: Why) -> None:
        self._reasons.pop(document, None)
        self._reasons[document] = why
        if len(self._reasons) > _MOST_DOCUMENTS:
            self._reasons.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Path:
    """What may come."""

    expected: Continuation
    text: str  # of the same, and on beyond what could be offered


@dataclass(frozen=True, slots=True)
class _Offer:
    """A suggestion, as it is and as it fits."""

    suggestion: Suggestion
    shaped: shaping.Shaped


def _offered(
    path: _Path, request: Complete, policy: Policy, n_kept: int
) -> tuple[_Offer | None, Why]:
    """What of a continuation is worth showing and fits; why there is nothing.

    Of what is on the screen already, `n_kept` characters, all stays.
    """
    suggestion = cut(path.expected, policy)
    if n_kept > 1 and (suggestion is None or len(suggestion.text) < n_kept):
        reached = path.expected.reached
        probability = min(reached[min(n_kept, len(reached) - 1)], 1.0)
        kept = path.text[:n_kept]
        suggestion = Suggestion(text=kept, probability=probability, expected_saving=0.0)
    if suggestion:
        offer, why = _fitted(path, suggestion, request)
    else:
        likely = cut(path.expected, replace(policy, min_probability=0.0))
        offer, why = None, Why(Reason.UNSURE, likely.probability) if likely else _NOTHING
    return offer, replace(why, min_probability=policy.min_probability)


def _listed(
    paths: Sequence[_Path], request: Complete, policy: Policy, n: int
) -> tuple[list[_Offer], Why]:
    """Up to `n` of the continuations to choose from, best first; why there is nothing."""
    why = _NOTHING
    while suggestions := choices([path.expected for path in paths], policy, n):
        fitted = {
            number: _fitted(paths[number], suggestion, request)
            for number, suggestion in suggestions.items()
        }
        offers = [offer for offer, _ in fitted.values() if offer]
        if len(offers) == len(fitted):
            return offers, fitted[next(iter(fitted))][1]
        # Others may take the place of what does not fit.
        why = next(why for offer, why in fitted.values() if not offer)
        paths = [path for i, path in enumerate(paths) if i not in fitted or fitted[i][0]]
    return [], why


def _fitted(path: _Path, suggestion: Suggestion, request: Complete) -> tuple[_Offer | None, Why]:
    shaped = shaping.shape(
        suggestion.text,
        expected=path.text,
        before=request.before,
        after=request.after,
        indentation=request.indentation,
    )
    if isinstance(shaped, Misfit):
        reason = Reason(shaped.value)
    elif shaping.spells_secret(path.text, suggestion.text, before=request.before):
        reason = Reason.SECRET
    else:
        return _Offer(suggestion, shaped), Why(None, suggestion.probability)
    return None, Why(reason, suggestion.probability)


def _either(option: SettingT | None, setting: SettingT) -> SettingT:
    return setting if option is None else option


_DONE = object()
_NOTHING = Why(Reason.NOTHING)
_PATIENCE_S = 0.001  # of work until others may run: some ten steps, and no key waits for it
_SLICE_S = 0.003  # of what can wait, by which a key that comes just then is late
# Probability of getting there below which a list needs no more of a path: a few words.
_NEGLIGIBLE_IN_LIST = 1e-4
_LONGEST_LINE = 4000  # characters left of the cursor; prose may have 2,000 in a paragraph
_MOST_DOCUMENTS = 256  # whose last reason is known: more than anybody asks about
