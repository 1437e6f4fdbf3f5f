"""What the answers depend on, as it is on disk: the model in use and the settings.

Knows what to make do with where something is damaged; knows nothing of who asks.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from afterword_trainer.durable import StateError
from afterword_trainer.model.bundle import Bundle, BundleError
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import POINTER, Shelf

from afterword_daemon import config
from afterword_daemon.config import Settings
from afterword_daemon.protocol import Model

Stamp = tuple[int, int, int]


class Stamps(NamedTuple):
    """What changes when a thing does; None: there is no such file."""

    settings: Stamp | None = None
    model: Stamp | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found at one moment."""

    bundle: Bundle | None
    settings: Settings
    model_notice: str = ""  # why another model serves than should
    stands_in: bool = False  # it does until somebody chooses one
    settings_notice: str = ""  # what is wrong with the settings; those that are not stand
    # As it was before anything was read: what is written meanwhile is read once too often, rather
    # than never.
    stamps: Stamps = field(default_factory=Stamps)

    @property
    def about(self) -> "About":
        """What is told of it."""
        bundle, model = self.bundle, None
        if bundle:
            model = Model(id=bundle.id, created=bundle.created, scores=dict(bundle.scores))
        return About(
            model=model,
            model_notice=self.model_notice,
            stands_in=self.stands_in,
            settings_notice=self.settings_notice,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is told of model and settings; the model itself is 15 MB, and the engine's alone."""

    model: Model | None
    model_notice: str
    stands_in: bool
    settings_notice: str

    @property
    def detail(self) -> str:
        """One line for people; "" if all is as it should be."""
        if self.model is None:
            return self.model_notice or "there is no model yet; make one with: trainer learn FOLDER"
        return self.model_notice or self.settings_notice


def load(paths: Paths, before: Settings | None = None) -> Loaded:
    """The model in use and the settings; what is damaged is replaced by what is not, and said.

    `before` are the settings that held so far, which go on where the file cannot be read.
    """
    now = stamps(paths)
    settings, settings_notice = config.in_force(paths, before)
    try:
        shelf = Shelf(paths.models, paths.base)
        bundle, notice = shelf.current()
        damaged = shelf.instead_of()
        if bundle and damaged and not notice:
            # The shelf tells it once, and whoever heard it may have ended.
            notice = (
                f"{damaged} was damaged, and {bundle.id} is in use instead; learn again, "
                f"or leave it so: trainer use {bundle.id}"
            )
    except (BundleError, StateError) as error:
        bundle, notice, damaged = None, str(error), None
    return Loaded(
        bundle=bundle,
        settings=settings,
        model_notice=notice or "",
        stands_in=damaged is not None,
        settings_notice=settings_notice,
        stamps=now,
    )


def stamps(paths: Paths) -> Stamps:
    """Changes whenever `load` could find something else."""
    return Stamps(config.stamp(paths), _stamp(paths.models / POINTER))


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
