"""The editors that need no plug-in: how each is started, and which keys do what.

Their settings are the lines of editors/README.md, so that what stands there is what is tested.
"""

from dataclasses import dataclass

from homes import ROOT, TOOLS, Home, tool, until
from terminals import Terminal

PAGE = ROOT / "editors" / "README.md"


def lines_for(section: str) -> str:
    """The first lines of code below a heading of the page."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")
    text, _, _ = rest.partition("\n## ")
    assert "```" in text, f"{PAGE}: no lines below {section!r}"
    return text.split("```")[1].partition("\n")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """Keys are as tmux names them."""

    name: str
    program: str  # below editors/.tools
    section: str  # of the page
    settings: str  # the file, below the user's home, that gets the lines of the page
    arguments: tuple[str, ...] = ()
    around: str = "{}"  # that file, where it takes more than those lines
    file: str = "letter.md"
    typing: str = ""  # what it shows while what is typed is text, if there is a key for that: i
    ask: tuple[str, ...] = ()  # none: it asks by itself
    asks_in_words: bool = False  # by itself, there
    accept: tuple[str, ...]
    leave: tuple[str, ...]  # having saved


def opened(editor: Editor, home: Home, text: str = "") -> Terminal:
    """The editor with a file of this text, in a home where it has these settings.

    It has begun, and the daemon knows the file; what is typed then is text.
    """
    program = tool(editor.program, editor.name)
    settings = home.user / editor.settings
    settings.parent.mkdir(parents=True, exist_ok=True)
    lines = editor.around.replace("{}", lines_for(editor.section))
    settings.write_text(lines, encoding="utf-8")
    file = home.file(editor.file, text)
    terminal = Terminal(home, program, *editor.arguments, file, cwd=home.user)

    def is_known() -> bool:
        status = home.status()
        return status is not None and status.documents > 0

    until(is_known, f"{editor.name} to have a server that knows the file")
    if editor.typing:
        terminal.keys("i")
        terminal.until_shows(editor.typing)
    return terminal


def until_suggested(editor: Editor, terminal: Terminal, text: str, *, in_word: bool) -> None:
    """Wait until that is offered at the cursor, having asked for it where one has to.

    Who asks by himself at a key asks at the next one: on a busy machine the answer to the last may
    have come too late, so that one types on, here a character and back.
    """
    if editor.ask and not (in_word and editor.asks_in_words):
        terminal.keys(*editor.ask)
        terminal.until_shows(text)
    else:
        terminal.until_shows(text, meanwhile=lambda: terminal.keys("x", "BSpace"))


def leave(editor: Editor, terminal: Terminal) -> None:
    """Save and end, as one does there."""
    if editor.typing:
        terminal.keys("Escape")  # by itself: with the next key it would be another one
        terminal.until_without(editor.typing)
    terminal.keys(*editor.leave)
    terminal.until_ended()


# Packages lie where no Emacs of the system would look, and what is compiled to the machine's own
# code would need the compiler, which was left out.
_PACKAGES = """\
(setq native-comp-jit-compilation nil native-comp-enable-subr-trampolines nil)
(let ((default-directory "{tools}/emacs/packages/"))
  (normal-top-level-add-to-load-path '("."))
  (normal-top-level-add-subdirs-to-load-path)
  (load "autoloads"))
(setq lsp-auto-guess-root t)
{{}}
"""

EMACS = ("-nw", "-Q", "-l", ".emacs.d/init.el")
EDITORS = (
    Editor(
        name="Emacs, eglot",
        program="emacs/bin/emacs",
        section="Emacs, with eglot",
        settings=".emacs.d/init.el",
        arguments=EMACS,
        file="letter.txt",
        ask=("M-Tab",),
        accept=(),  # the only candidate is inserted
        leave=("C-x", "C-s", "C-x", "C-c"),
    ),
    Editor(
        name="Emacs, lsp-mode",
        program="emacs/bin/emacs",
        section="Emacs, with lsp-mode",
        settings=".emacs.d/init.el",
        arguments=EMACS,
        around=_PACKAGES.format(tools=TOOLS),
        file="letter.txt",
        accept=("C-Enter",),
        leave=("C-x", "C-s", "C-x", "C-c"),
    ),
    Editor(
        name="Helix",
        program="helix/bin/hx",
        section="Helix",
        typing=" INS ",
        settings=".config/helix/languages.toml",
        ask=("C-x",),
        accept=("Tab", "Enter"),
        leave=(":", "x", "Enter"),
    ),
    Editor(
        name="Vim, ALE",
        program="vim/bin/vim",
        section="Vim, with ALE",
        typing="-- INSERT --",
        settings=".vimrc",
        around=f"set nocompatible packpath^={TOOLS}/vim\nfiletype plugin on\n{{}}",
        ask=("C-x", "C-a"),
        asks_in_words=True,
        accept=("C-n", "C-y"),
        leave=(":", "x", "Enter"),
    ),
    Editor(
        name="Neovim, by itself",
        program="neovim/0.12/bin/nvim",
        section="Neovim 0.12, without the plug-in",
        typing="-- INSERT --",
        settings=".config/nvim/init.lua",
        accept=("Tab",),
        leave=(":", "x", "Enter"),
    ),
)
