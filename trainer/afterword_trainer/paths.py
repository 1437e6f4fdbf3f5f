"""Every folder that Afterword writes to, and the base model that it reads, in this one place.

Knows names of folders; makes none of them (`durable` does, when something is first written).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import appdirs

SHIPPED_BASE = Path(__file__).parent / "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where things are kept. All of them are absolute; none needs to exist yet."""

    config: Path  # what the user set
    data: Path  # what must not be lost: models, reports
    cache: Path  # what can be made again: prepared text, checkpoints
    runtime: Path  # what ends with the session: the socket
    logs: Path
    base: Path = SHIPPED_BASE  # the model that ships with us; never written to

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Paths":
        """The folders that this system keeps for applications, by appdirs.

        AFTERWORD_HOME, where set, puts all of them under one folder instead: for trying things
        out, for tests, and for people who want to see everything in one place. AFTERWORD_BASE
        names the folder of another base model than the one that ships.
        """
        named = environ.get("AFTERWORD_BASE")
        base = Path(named).expanduser().absolute() if named else SHIPPED_BASE
        if home := environ.get("AFTERWORD_HOME"):
            root = Path(home).expanduser().absolute()
            return cls(
                config=root / "config",
                data=root / "data",
                cache=root / "cache",
                runtime=root / "run",
                logs=root / "logs",
                base=base,
            )
        cache = Path(appdirs.user_cache_dir(NAME, appauthor=False)).absolute()
        # The session's own folder is in memory and private, but cron and sudo have none.
        session = environ.get("XDG_RUNTIME_DIR")
        return cls(
            config=Path(appdirs.user_config_dir(NAME, appauthor=False)).absolute(),
            data=Path(appdirs.user_data_dir(NAME, appauthor=False)).absolute(),
            cache=cache,
            runtime=Path(session).absolute() / NAME if session else cache / "run",
            logs=Path(appdirs.user_log_dir(NAME, appauthor=False)).absolute(),
            base=base,
        )

    @property
    def models(self) -> Path:
        """The shelf of finished models."""
        return self.data / "models"

    @property
    def reports(self) -> Path:
        """The training reports. They quote the user's text, so they are as private as it is."""
        return self.data / "reports"

    @property
    def runs(self) -> Path:
        """Prepared text and checkpoints of training that is going on."""
        return self.cache / "runs"


NAME = "afterword"
