"""The daemon to be found: its socket and its note, for as long as the lock is its own.

Knows lock, socket and note, and that cleaners of temporary folders remove what nobody touches;
knows nothing of clients.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths

from afterword_daemon import endpoint, protocol
from afterword_daemon.endpoint import EndpointError, Listener
from afterword_daemon.trouble import Trouble

logger = logging.getLogger(__name__)

KEEP_S: Final = 3600.0  # between two signs that it is in use; cleaners wait for six hours and more


class Presence:
    """Where clients connect."""

    def __init__(self, paths: Paths, client: Callable[[], asyncio.BaseProtocol]) -> None:
        """`client` makes one for each that comes. The caller holds the lock."""
        self.started = time.time()
        self._paths = paths
        self._client = client
        self._lock_file = endpoint.file_at(endpoint.lock_of(paths))
        self._listener: Listener | None = None
        self._accepting: asyncio.Server | None = None
        self._next_keep = time.monotonic() + KEEP_S
        self._trouble = Trouble("where the daemon is cannot be written down")

    @property
    def problem(self) -> str:
        """What cannot be written, and the remedy; "" if all is well."""
        return self._trouble.sentence

    @property
    def socket(self) -> Path | None:
        """Where it is; None: nowhere yet."""
        return self._listener.path if self._listener else None

    async def begin(self) -> None:
        """Let clients in. Raises EndpointError or StateError if none could ever come."""
        listener = endpoint.listen(self._paths)
        self._accepting = await asyncio.get_running_loop().create_unix_server(
            self._client, sock=listener.socket, backlog=endpoint.BACKLOG
        )
        self._listener = listener
        self._announce()

    async def look(self) -> bool:
        """Mend what somebody removed; False if another daemon may have taken this one's place.

        To be called every few seconds.
        """
        if endpoint.file_at(endpoint.lock_of(self._paths)) != self._lock_file:
            return False  # whoever removed it makes room for one that would not see us
        assert self._listener
        assert self._accepting
        try:
            if not self._listener.is_in_place():
                logger.warning("the socket was removed; making another one")
                self._accepting.close()
                await self.begin()
            elif endpoint.read(self._paths) is None:
                self._announce()
        except (EndpointError, StateError) as error:
            self._trouble.begin(error)
        if time.monotonic() > self._next_keep:
            self._next_keep = time.monotonic() + KEEP_S
            self._listener.keep()
        return True

    def close(self) -> None:
        """Let nobody in any more."""
        if self._accepting:
            self._accepting.close()

    def withdraw(self) -> None:
        """Leave nothing that leads here."""
        if self._listener:
            endpoint.withdraw(self._paths, self._listener)

    def _announce(self) -> None:
        """Write the note. Raises StateError.

        A disk that is full is no reason to serve nobody: clients look in the usual places too.
        """
        assert self._listener
        try:
            endpoint.announce(
                self._paths,
                self._listener,
                protocol=protocol.PROTOCOL_VERSION,
                started=self.started,
            )
        except StateError as error:
            if not endpoint.is_full(error):
                raise
            self._trouble.begin(error)
        else:
            self._trouble.end()
