"""The language of a file by its name, in the names that editors give languages.

A document's header carries it, so that a model can tell prose from code before the first word.
Knows names only; opens nothing.
"""

TEXT = "text"


def language_of(path: str) -> str:
    """The language of a file of this name, such as "markdown"; "text" for any unknown one."""
    name = path.rpartition("/")[2].lower()
    if name in _BY_NAME:
        return _BY_NAME[name]
    return _BY_SUFFIX.get(name.rpartition(".")[2], TEXT) if "." in name else TEXT


def is_prose(language: str) -> bool:
    """Whether people write sentences in it: what looks odd in code may be plain in prose."""
    return language in _PROSE


_PROSE = frozenset(
    {TEXT, "markdown", "org", "latex", "restructuredtext", "asciidoc", "typst", "mediawiki", "mail"}
)

_BY_NAME = {
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "cmakelists.txt": "cmake",
    "justfile": "just",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "vagrantfile": "ruby",
    "commit_editmsg": "git-commit",
    "jenkinsfile": "groovy",
}

_SUFFIXES = {
    "asciidoc": "adoc asciidoc",
    "bibtex": "bib",
    "c": "c h",
    "clojure": "clj cljc cljs edn",
    "cmake": "cmake",
    "cpp": "cc cpp cxx hh hpp hxx",
    "csharp": "cs",
    "css": "css",
    "dart": "dart",
    "elixir": "ex exs",
    "elm": "elm",
    "erlang": "erl hrl",
    "fsharp": "fs fsi fsx",
    "go": "go",
    "graphql": "gql graphql",
    "groovy": "gradle groovy",
    "haskell": "hs lhs",
    "html": "htm html xhtml",
    "ini": "cfg conf ini properties",
    "java": "java",
    "javascript": "cjs js mjs",
    "javascriptreact": "jsx",
    "json": "json json5 jsonc",
    "julia": "jl",
    "jupyter": "ipynb",
    "kotlin": "kt kts",
    "latex": "cls ltx sty tex",
    "less": "less",
    "lisp": "cl el lisp lsp",
    "lua": "lua",
    "mail": "eml mbox",
    "makefile": "mak mk",
    "markdown": "markdown md mdown mdx mkd qmd rmd",
    "matlab": "m",
    "mediawiki": "mediawiki wiki",
    "nix": "nix",
    "ocaml": "ml mli",
    "org": "org",
    "pascal": "pas",
    "perl": "pl pm",
    "php": "php",
    "powershell": "ps1 psm1",
    "proto": "proto",
    "python": "py pyi pyw pyx",
    "r": "r",
    "restructuredtext": "rst",
    "ruby": "rb",
    "rust": "rs",
    "scala": "sc scala",
    "scheme": "rkt scm ss",
    "scss": "sass scss",
    "shellscript": "bash fish sh zsh",
    "sql": "sql",
    "svelte": "svelte",
    "swift": "swift",
    "terraform": "hcl tf",
    "toml": "toml",
    "typescript": "cts mts ts",
    "typescriptreact": "tsx",
    "typst": "typ",
    "vim": "vim",
    "vue": "vue",
    "xml": "xml xsd xsl xslt",
    "yaml": "yaml yml",
    "zig": "zig",
}
_BY_SUFFIX = {s: language for language, suffixes in _SUFFIXES.items() for s in suffixes.split()}
