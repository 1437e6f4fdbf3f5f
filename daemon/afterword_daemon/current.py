"""The engine, kept in step with what is on disk: settings, and the model in use.

Knows what was taken up last and how another model takes the place of one that answers; knows
nothing of clients, nor of when to look.
"""

import asyncio
import logging
from dataclasses import replace

from afterword_trainer import remembering
from afterword_trainer.model.bundle import BundleError
from afterword_trainer.paths import Paths
from afterword_trainer.remembering import Remembered

from afterword_daemon import config, heap
from afterword_daemon.config import Settings
from afterword_daemon.engine import Engine
from afterword_daemon.loaded import About, Loaded, load, stamps
from afterword_daemon.served import MEMORY_BYTES
from afterword_daemon.tally import Tally

logger = logging.getLogger(__name__)


class Current:
    """What serves now, and what is told of it."""

    def __init__(self, paths: Paths, loaded: Loaded, tally: Tally) -> None:
        """A model that cannot be run is none, and `about` says why."""
        self._paths = paths
        self.engine, loaded = _opened(paths, loaded, tally)
        self.about = loaded.about
        self._stamps = loaded.stamps
        self._reloading = asyncio.Lock()

    @property
    def is_outdated(self) -> bool:
        """Whether something else is on disk by now."""
        return stamps(self._paths) != self._stamps

    async def reload(self) -> bool:
        """Take up what is on disk; whether that was anything new."""
        async with self._reloading:  # else an older state of the disk could come last
            before, now = self._stamps, stamps(self._paths)
            if now == before:
                return False
            if now.model == before.model:
                # A model is 20 MB to read, and this one is in use.
                settings, notice = await asyncio.to_thread(
                    config.in_force, self._paths, self.engine.settings
                )
                self.about = replace(self.about, settings_notice=notice)
            else:
                settings = await self._take_up()
                await asyncio.to_thread(heap.give_back)
            self._stamps = now  # of before it was read, so that nothing is missed
            self.engine.settings = settings
            return True

    async def _take_up(self) -> Settings:
        """Answer by the model that is in use by now; the settings beside it."""
        loaded = await asyncio.to_thread(load, self._paths, self.engine.settings)
        before = self.about
        bundle = loaded.bundle
        if bundle and (before.model is None or bundle.id != before.model.id):
            try:
                # Its network is built anew, which may take longer than a key.
                await asyncio.to_thread(self.engine.swap, bundle)
                logger.info("the model is now %s", bundle.id)
            except BundleError as error:
                loaded = replace(loaded, bundle=None, model_notice=str(error))
        elif bundle and _says_no_more(loaded, before):
            # Who mends the shelf says once what is wrong with the other; it holds until somebody
            # chooses a model.
            loaded = replace(loaded, model_notice=before.model_notice)
        about = loaded.about
        # A model that cannot be read any more can still be asked.
        self.about = replace(about, model=about.model or before.model)
        return loaded.settings


def _says_no_more(loaded: Loaded, before: About) -> bool:
    """Whether the same is wrong as before, and told less well."""
    if loaded.stands_in != before.stands_in:
        return False
    return loaded.stands_in or not loaded.model_notice


def _opened(paths: Paths, loaded: Loaded, tally: Tally) -> tuple[Engine, Loaded]:
    """An engine for what was found, and what of that it is."""
    try:
        remembered = _remembered(paths, loaded)
        engine = Engine(loaded.bundle, loaded.settings, remembered=remembered, tally=tally)
    except BundleError as error:
        loaded = replace(loaded, bundle=None, model_notice=str(error))
        engine = Engine(None, loaded.settings, tally=tally)
    return engine, loaded


def _remembered(paths: Paths, loaded: Loaded) -> Remembered | None:
    """The memory as it was stored, if it fits the model."""
    if loaded.bundle is None:
        return None
    path = remembering.path_of(paths)
    return remembering.load_or_set_aside(path, loaded.bundle.alphabet, at_most_bytes=MEMORY_BYTES)
