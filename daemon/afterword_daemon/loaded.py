"""What the answers depend on, as it is on disk: the model in use and the settings.

Knows what to make do with where something is damaged; knows nothing of who asks.
"""

from dataclasses import dataclass
from pathlib import Path

from afterword_trainer.durable import StateError
from afterword_trainer.model.bundle import Bundle, BundleError
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import POINTER, Shelf

from afterword_daemon import config
from afterword_daemon.config import ConfigError, Settings

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found at one moment."""

    bundle: Bundle | None
    settings: Settings
    model_notice: str = ""  # why another model serves than should
    settings_notice: str = ""  # what is wrong with the settings; those that are not stand
    # As it was before anything was read: what is written meanwhile is read once too often, rather
    # than never.
    stamps: tuple[Stamp | None, ...] = ()


def load(paths: Paths) -> Loaded:
    """The model in use and the settings; what is damaged is replaced by what is not, and said."""
    before = stamps(paths)
    settings, settings_notice = _settings(paths)
    try:
        bundle, notice = Shelf(paths.models, paths.base).current()
    except (BundleError, StateError) as error:
        bundle, notice = None, str(error)
    return Loaded(
        bundle=bundle,
        settings=settings,
        model_notice=notice or "",
        settings_notice=settings_notice,
        stamps=before,
    )


def stamps(paths: Paths) -> tuple[Stamp | None, ...]:
    """Changes whenever `load` could find something else."""
    return config.stamp(paths), _stamp(paths.models / POINTER)


def _settings(paths: Paths) -> tuple[Settings, str]:
    try:
        return config.load(paths), ""
    except ConfigError as error:
        return error.settings, str(error)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
