"""Where suggestions are on: by the settings, by what was turned on and off since, by the document.

Knows languages, documents and their names; knows no order of events, and of the daemon no more than
what it told of the settings that all editors share.
"""

from collections.abc import Mapping
from typing import Any

from afterword_daemon.protocol import Changed

from afterword_lsp import options
from afterword_lsp.completion import language_of
from afterword_lsp.opened import OpenDocument
from afterword_lsp.status import Off


class Switches:
    """What the user wants in one editor, as far as is known by now."""

    def __init__(self) -> None:
        self.options = options.Options()
        self._initial: dict[str, Any] = {}  # settings that came with the greeting
        self._toggled: dict[str, bool] = {}  # by language or "*", over the settings

    def begin(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings that stand below those that come later; a phrase for each that is no use."""
        self._initial = dict(settings)
        return self.configure({})

    def configure(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings as the editor has them now, whatever it had before; phrases as for `begin`."""
        self.options, mistakes = options.parse({**self._initial, **settings})
        return mistakes

    def toggle_document(self, doc: OpenDocument) -> bool:
        """Turn suggestions on or off in one document; whether they are wanted there now."""
        doc.wanted = not self._wants(doc)
        return doc.wanted

    def toggle_language(self, name: str) -> bool:
        """The same for a language, by its name in editors."""
        now = not self.is_on(name, language_of(name))
        self._toggled[name] = self._toggled[language_of(name)] = now
        return now

    def toggle_all(self, last: OpenDocument | None) -> bool:
        """The same everywhere, from how it is in the document that was last worked on."""
        now = not (self._wants(last) if last else self.is_on())
        self._toggled = {"*": now}
        if last:
            last.wanted = None
        return now

    def is_on(self, *names: str) -> bool:
        """Whether suggestions are wanted in a language of these names, or in any."""
        for name in (*names, "*"):
            if name in self._toggled:
                return self._toggled[name]
        return self.options.enables(*names)

    def off(self, doc: OpenDocument, news: Changed | None) -> Off:
        """Why the daemon is not to hear of a document; "": it is."""
        if doc.wanted is False:
            return "forgotten" if doc.is_let_go else "buffer"
        if not self._wants(doc):
            return "language" if self.is_on() else "off"
        if doc.is_secret:
            return "secret-file"
        if doc.document.is_too_big:
            return "too-big"
        in_file = news.enable if news else {}
        return "" if in_file.get(doc.language, in_file.get("*", True)) else "config"

    def is_manual(self, news: Changed | None) -> bool:
        """Whether nothing is asked unless the user does."""
        is_so_for_all = news is not None and news.trigger == "manual"
        return is_so_for_all or self.options.trigger == "manual"

    def _wants(self, doc: OpenDocument) -> bool:
        """Whether the user wants suggestions in a document."""
        if doc.wanted is not None:
            return doc.wanted
        return self.is_on(doc.editors_language, doc.language)
