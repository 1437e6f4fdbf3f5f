"""Secrets in text: where they are, and the text without them.

A false alarm costs one line of text and a miss costs a secret, so the rules lean towards alarm:
tokens with a known prefix, PEM blocks, passwords in URLs, key-like names with random values, bare
random strings, payment cards and IBANs. Every rule reads the text once and bounds what it looks
at from any one place, so that no input is slow.
Knows text and file names; knows nothing of files, folders or models.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import log2
from typing import Literal, get_args

# From the surest rule to the least sure.
Kind = Literal["pem", "token", "url", "assignment", "said", "run", "card", "iban"]

IN_WORDS: Mapping[Kind, str] = {
    "pem": "a private key",
    "token": "a token",
    "url": "a password in an address",
    "assignment": "what is named as a key or password",
    "said": "what is called a password or code",
    "run": "a run of letters and digits as keys are",
    "card": "the number of a card",
    "iban": "the number of an account",
}
# Kinds that are hardly ever a false alarm: three of them make a file of secrets.
CERTAIN: frozenset[Kind] = frozenset({"pem", "token", "url"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A secret is `text[start:end]`; of two rules that meet in one place, the surer names it."""

    start: int
    end: int
    kind: Kind


def find(text: str) -> list[Span]:
    """The secrets in `text`, in order and without overlap."""
    # One byte for each character, so that positions agree: bytes are searched several times
    # faster than text, and whatever is not ASCII is no part of what we look for.
    ascii_text = text.encode("ascii", "replace")
    found = [
        *_pem_blocks(text),
        *_tokens_and_runs(text, ascii_text),
        *_url_passwords(text),
        *_said(text, ascii_text),
        *_noted(text, ascii_text),
        *_assignments(text, ascii_text),
        *_cards(text),
        *_ibans(text),
    ]
    found.sort(key=lambda span: (span.start, _RANK[span.kind], -span.end))
    spans: list[Span] = []
    for span in found:
        if not spans or span.start >= spans[-1].end:
            spans.append(span)
        elif span.end > spans[-1].end:
            spans[-1] = Span(start=spans[-1].start, end=span.end, kind=spans[-1].kind)
    return spans


def redact(text: str) -> tuple[str, int]:
    """`text` without the lines that hold a secret, and the number of secrets."""
    spans = find(text)
    return without(text, spans), len(spans)


def without(text: str, spans: Iterable[Span]) -> str:
    """`text` without the lines of `spans`, which are in order and do not overlap.

    Neighbouring lines that go leave one empty line behind: a break, which nothing is learned
    across as if it had been written in one go.
    """
    kept: list[str] = []
    done = 0  # everything before is either kept or gone
    for span in spans:
        if span.end <= done:
            continue  # on a line that has gone already
        start = max(done, text.rfind("\n", done, span.start) + 1)
        if start > done or not kept:
            kept += (text[done:start], "\n")
        done = text.find("\n", span.end) + 1 or len(text)
    return "".join((*kept, text[done:]))


def is_secret_file(path: str) -> bool:
    """Whether a file or folder of this name is kept for secrets, whatever it holds.

    `path` is relative with "/" between its parts; a folder on the way counts as well.
    """
    parts = path.lower().split("/")
    return bool(_SECRET_NAMES.fullmatch(parts[-1]) or any(map(_SECRET_FOLDERS.fullmatch, parts)))


_RANK: dict[Kind, int] = {kind: rank for rank, kind in enumerate(get_args(Kind))}

# --- names -------------------------------------------------------------------------------------

_SECRET_FOLDERS = re.compile(
    r"\.(?:aws|azure|docker|gcloud|gnupg|kube|mozilla|password-store|ssh|thunderbird)"
)
_SECRET_NAMES = re.compile(
    r"""
    # keys and key stores
    .*\.(?:pem|key|p8|p12|pfx|jks|keystore|ppk|asc|gpg|kdb|kdbx|agekey|ovpn|keytab)
    | id_(?:rsa|dsa|ecdsa|ed25519).*
    # passwords of programs
    | \.env.* | .*\.env | [._]netrc | \.pgpass | \.my\.cnf | \.htpasswd | \.npmrc | \.pypirc
    | \.git-credentials | \.dockercfg | \.s3cfg | \.boto | \.vault-token | kubeconfig.*
    | credentials.* | secrets.*\.y.*ml | .*\.(?:tfstate|tfvars).* | logins\.json | key[34]\.db
    # what was typed into shells and browsers, and what programs held in memory
    | .*_history | \..*history | \.lesshst | \.viminfo | cookies | login.data
    | .*\.sqlite3? | core(?:\.[0-9]+)?
    """,
    re.VERBOSE,
)

# --- tokens with a known prefix, and bare random strings ---------------------------------------

_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    + "|".join(
        (
            r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}",  # Amazon
            r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
            r"AIza[\w-]{35}",  # Google
            r"(?:AKC|AP[0-9A-F])(?=[A-Za-z]*[0-9])[a-zA-Z0-9]{10,}",  # Artifactory
            r"AC[0-9a-f]{32}",  # Twilio
            r"ATATT3[\w=-]{60,}",  # Atlassian
            r"EAA[A-Za-z0-9]{60,}",  # Facebook
            r"EAAA[\w-]{60}",  # Square
            r"GOCSPX-[\w-]{28}",  # Google
            r"LTAI[A-Za-z0-9]{12,20}",  # Alibaba
            r"NRAK-[A-Z0-9]{27}",  # New Relic
            r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",  # Postman
            r"SG\.[\w-]{16,}\.[\w-]{16,}",  # SendGrid
            r"SK[0-9a-f]{32}",  # Twilio
            r"T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,}",  # Slack's web hooks
            r"[MNO](?=[\w.-]*[0-9])[\w-]{23,27}\.[\w-]{6,7}\.[\w-]{27,38}",  # Discord
            r"api/webhooks/[0-9]{16,20}/[\w-]{60,}",  # Discord
            r"dapi[a-f0-9]{32}",  # Databricks
            r"do[por]_v1_[a-f0-9]{64}",  # DigitalOcean
            r"eyJ[\w-]{10,}={0,2}\.[\w-]{10,}",  # JSON Web Token
            r"figd_[\w-]{40}",  # Figma
            r"gh[pousr]_[A-Za-z0-9]{36}",  # GitHub
            r"github_pat_\w{22,}",
            r"gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|rtr|soat)-[\w-]{20,}",  # GitLab
            r"glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}",  # Grafana
            r"gsk_[A-Za-z0-9]{40,}",  # Groq
            r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
            r"hv[sb]\.[\w-]{24,}",  # Vault
            r"key-[0-9a-zA-Z]{32}",  # Mailgun
            r"lin_api_[A-Za-z0-9]{40}",  # Linear
            r"npm_[A-Za-z0-9]{36}",
            r"nvapi-[\w-]{60,}",  # NVIDIA
            r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",  # Airtable
            r"pypi-A[\w-]{50,}",
            r"r8_[A-Za-z0-9]{37}",  # Replicate
            r"rubygems_[a-f0-9]{48}",
            r"sbp_[a-f0-9]{40}",  # Supabase
            r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",  # Shopify
            r"sk-(?=[\w-]*[0-9])[\w-]{20,}",  # OpenAI, Anthropic and others
            r"[spr]k_(?:live|test)_[A-Za-z0-9]{10,}",  # Stripe
            r"sl\.[\w-]{100,}",  # Dropbox
            r"sntry[su]_[\w=/+-]{40,}",  # Sentry
            r"sq0[a-z]{3}-[\w-]{22,43}",  # Square
            r"tskey-[a-z]+-\w{8,}-\w{8,}",  # Tailscale
            r"whsec_[A-Za-z0-9+/]{24,}",  # Stripe
            r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-f0-9]{30,}",  # Slack
            r"xkeysib-[a-f0-9]{64}-\w{16}",  # Brevo
            r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}",  # Slack
            r"ya29\.[\w-]{20,}",  # Google
            r"[0-9a-f]{32}-us[0-9]{1,2}",  # Mailchimp
            r"[0-9]{8,10}:[\w-]{35}(?![\w-])",  # Telegram
            r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}",  # Terraform
        )
    )
    + ")",
    re.ASCII,
)

_N_WORD = 16  # no token is shorter
_LONGEST_WORD = 1000  # nobody writes a longer one without a blank; it is data, or a ruled line
_CLASSES = bytes.maketrans(
    bytes(range(256)),
    bytes(ord("w") if re.match(rb"[A-Za-z0-9_.:/+=~-]", bytes((c,))) else 32 for c in range(256)),
)
_BARE = re.compile(r"[A-Za-z0-9+/_-]{20,}")
_HEX = re.compile(r"(?:0x)?([0-9a-f]{32,}|[0-9A-F]{32,})", re.ASCII)
_LETTERS = re.compile(r"[A-Z][a-z]{3,}|[a-z]{4,}|[A-Z]{4,}")
_LONGEST_IN_URL = 100  # longer is a document carried in its own address, as playgrounds make them


def _tokens_and_runs(text: str, ascii_text: bytes) -> Iterator[Span]:
    for start, end in _words(ascii_text):
        if end - start > _LONGEST_WORD:
            if len(set(text[start:end])) > 8:
                yield Span(start=start, end=end, kind="run")
            continue
        for match in _TOKEN.finditer(text, start, end):
            yield Span(start=match.start(), end=match.end(), kind="token")
        for match in _BARE.finditer(text, start, end):
            if _is_bare_secret(match[0]) and not _is_document_in_url(text, *match.span()):
                yield Span(start=match.start(), end=match.end(), kind="run")


def _is_document_in_url(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - 200) : start]
    return end - start > _LONGEST_IN_URL and "://" in before[before.rfind(" ") + 1 :]


def _words(ascii_text: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each unbroken run of token characters, 16 or more of them."""
    classes = ascii_text.translate(_CLASSES)
    long_word = b"w" * _N_WORD
    start = classes.find(long_word)
    while start >= 0:
        end = classes.find(b" ", start)
        end = len(classes) if end < 0 else end
        yield start, end
        start = classes.find(long_word, end)


def _is_bare_secret(run: str) -> bool:
    """Whether a string that nothing introduces is random enough: hex, or base64 of any kind."""
    digits = sum(map(run.count, "0123456789"))
    if not digits:
        return False
    if match := _HEX.fullmatch(run):
        return digits < len(match[1]) and _entropy(match[1]) > 3.0
    if _share_of_words(run) > 0.5:
        return False
    if run.isalnum() and run == run.lower():
        return len(run) >= 24 and digits >= 3 and _entropy(run) > 3.7
    if run.lower() == run or run.upper() == run:
        return False
    # 4.5 bits cannot be reached by a string of 20, so short ones are measured by what they can.
    return _entropy(run) > min(4.5, log2(len(run)) - 0.5)


def _share_of_words(run: str) -> float:
    """Share of characters that stand in four or more letters of one case: 0.2 in random ones."""
    return sum(map(len, _LETTERS.findall(run))) / len(run)


def _entropy(run: str) -> float:
    """Bits per character of `run` by its own letter counts (Shannon, 1948)."""
    n = len(run)
    return log2(n) - sum(count * log2(count) for count in Counter(run).values()) / n


# --- PEM blocks ----------------------------------------------------------------------------------

_PEM_BEGIN, _PEM_END = "-----BEGIN ", "-----END "
_LONGEST_PEM = 20_000  # characters; what ends later is another block's end, or talk of one
_PEM_TAIL = re.compile(r"[A-Z0-9 ]{0,60}-{0,5}")
# A line of a block whose end is missing: headers, blanks and base64 with what code puts around it.
_PEM_LINE = re.compile(
    r"[ \t>#*/\"'+-]{0,12}"
    r"(?:(?:[A-Za-z0-9+/]{16,}|[A-Za-z0-9+/]{2,}=)[=\"'\\nr,+ \t]{0,9}"
    r"|(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n]{0,200})?(?:\n|\Z)"
)


def _pem_blocks(text: str) -> Iterator[Span]:
    """Two states, outside and inside a block; a block without an end goes as far as it can."""
    begin = text.find(_PEM_BEGIN)
    end = -1
    while begin >= 0:
        following = text.find(_PEM_BEGIN, begin + 1)
        limit = min(len(text) if following < 0 else following, begin + _LONGEST_PEM)
        if end < begin:
            end = text.find(_PEM_END, begin)
            end = len(text) if end < 0 else end
        if end < limit:
            tail = _PEM_TAIL.match(text, end + len(_PEM_END))
            stop = tail.end() if tail else end
        else:
            stop = _pem_body_end(text, begin, limit)
        yield Span(start=begin, end=stop, kind="pem")
        begin = text.find(_PEM_BEGIN, stop)


def _pem_body_end(text: str, begin: int, limit: int) -> int:
    at = text.find("\n", begin, limit) + 1
    if not at:
        return limit
    while at < limit and (line := _PEM_LINE.match(text, at, limit)):
        at = line.end()
    return max(at - 1, begin)


# --- passwords in URLs ---------------------------------------------------------------------------

_USER_AND_PASSWORD = re.compile(r"://([^\s/:@\"'`<>]{0,80}):([^\s/@\"'`<>]{1,160})@[\w.\[-]")


def _url_passwords(text: str) -> Iterator[Span]:
    at = text.find("://")
    while at >= 0:
        match = _USER_AND_PASSWORD.match(text, at)
        # Examples call the password a password, or what the user is called.
        if (
            match
            and match[2].lower() not in (match[1], "password", "pass", "secret", "pw")
            and not _is_placeholder(match[2])
        ):
            yield Span(start=match.start(2), end=match.end(2), kind="url")
        at = text.find("://", at + 3)


# --- names that promise a secret, and their values -----------------------------------------------

_KEYWORDS = (b"pass", b"pwd", b"secret", b"token", b"key", b"auth", b"cred", b"bearer")
_INNOCENT = re.compile(rb"keyboard|keyword|authors?\b|pass(?:age|eng|ion|ive|port)")
_NAME = re.compile(rb"[\w.-]*")
_VALUE = re.compile(
    r"[\"'`*\])]{0,3}[ \t]{0,8}"  # what closes the name
    # A sign of assignment, with the type before it in some languages; or a blank after a flag.
    r"(?::[ \t]?[A-Za-z_][\w.\[\]| ]{0,30}=|:=|=>|={1,3}|:|>|\||,|is[ \t]|(?<=[ \t]))"
    r"[\"'`*(\[\\]{0,3}[ \t]{0,8}(?:(?:bearer|basic|token|bot)[ \t]{1,4})?"
    r"(?:[a-z]{0,2}\\?[\"'`](?P<quoted>[^\"'`\s]{8,200})"
    r"|(?P<bare>[^\s\"'`,;<>(){}\[\]|=]{8,200}={0,2}))",
    re.ASCII | re.IGNORECASE,
)


# In quotes a pass phrase has blanks. Only behind a name that is nothing but a password's, since
# `password_help = "at least 8 letters"` is one of many.
_PHRASE_NAME = re.compile(rb"pass(?:w(?:or)?d|phrase|code)?s?[0-9]?|pwd|secret")
_PHRASE = re.compile(
    r"[\"'`*\])]{0,3}[ \t]{0,8}(?::[ \t]?str[ \t]?=|:=|=>|=|:|,)[ \t]{0,8}"
    r"(?:\"(?P<double>[^\"\n]{8,200})\"|'(?P<single>[^'\n]{8,200})')"
)
# fmt: off
_TALK = frozenset((
    "a", "an", "and", "at", "be", "by", "can", "cannot", "confirm", "does", "enter", "for", "from",
    "has", "if", "in", "invalid", "is", "it", "must", "new", "no", "not", "of", "old", "on", "or",
    "passphrase", "password", "passwords", "please", "the", "to", "was", "will", "with", "you",
    "your",
))
# fmt: on

# A value may stand alone on the line below its name, or on the second, or in a list there.
_BELOW = re.compile(
    r"[\"'`*_\])]{0,4}[ \t]{0,8}[:=][*_]{0,3}[ \t]{0,8}\n(?:[ \t]{0,40}\n)?(?=[^\n])"
)
_ALONE = re.compile(
    r"[ \t]{0,40}(?P<item>[-*+][ \t]{1,4})?(?P<quote>[\"'`]?)"
    r"(?P<value>[^\s\"'`,;<>(){}\[\]|=]{8,200}={0,2})[\"'`]?,?[ \t]{0,8}(?:\n|\Z)"
)


def _assignments(text: str, ascii_text: bytes) -> Iterator[Span]:
    lowered = ascii_text.lower()
    for keyword in _KEYWORDS:
        at = lowered.find(keyword)
        while at >= 0:
            name = _NAME.match(lowered, at)
            end = name.end() if name else at
            if not _INNOCENT.match(lowered, at):
                password = keyword in (b"pass", b"pwd")
                is_bare_name = _PHRASE_NAME.fullmatch(lowered, at, end) is not None
                if span := _beside(text, end, password=password, phrases=is_bare_name):
                    yield span
                    end = span.end
                spans, end = _below(text, end, password=password)
                yield from spans
            at = lowered.find(keyword, end)


def _beside(text: str, name_end: int, *, password: bool, phrases: bool) -> Span | None:
    """The secret on the line of its name."""
    if match := _VALUE.match(text, name_end):
        group = "quoted" if match["quoted"] else "bare"
        if _is_secret_value(match[group], password=password, quoted=group == "quoted"):
            return Span(start=match.start(group), end=match.end(), kind="assignment")
    if phrases and (match := _PHRASE.match(text, name_end)):
        group = "double" if match["double"] else "single"
        if _is_phrase(match[group]):
            return Span(start=match.start(group), end=match.end(), kind="assignment")
    return None


def _below(text: str, name_end: int, *, password: bool) -> tuple[list[Span], int]:
    """The secrets on the lines below their name, and how far was looked for them."""
    spans: list[Span] = []
    below = _BELOW.match(text, name_end)
    if not below:
        return spans, name_end
    at = below.end()
    while line := _ALONE.match(text, at):
        at = line.end()
        if _is_secret_value(line["value"], password=password, quoted=bool(line["quote"])):
            spans.append(Span(start=line.start("value"), end=line.end("value"), kind="assignment"))
        if not line["item"]:
            break
    return spans, max(name_end, at - 1)


def _is_phrase(value: str) -> bool:
    """Whether what stands in quotes is words that open something, and no talk of such words."""
    words = value.split()
    if len(words) < 2 or _is_placeholder(value) or any(c in value for c in "%{}$<>\\"):
        return False
    if any(map(str.isdigit, value)):
        return True
    return len(words) >= 4 and all(map(str.isalpha, words)) and not _TALK & {*map(str.lower, words)}


_SAYING = (b"password", b"passcode", b"passphrase", b" code", b"pin ")
# "The wifi password is BlueTulip77", "passcode 884213", "the gate code is 7719": as people note
# them down. A number may follow at once; a word needs its "is", or every text on passwords went.
_SAID = re.compile(
    r"(?:pass(?:word|code|phrase)|(?<=gate|door|safe|lock) code|(?<=alarm|entry) code|"
    r"(?<=access|locker) code|(?<=security) code|(?-i:PIN))s?:?[ \t]"
    r"(?:(?:is|was|are|=)[ \t]+[\"'`]?(?P<word>[^\s\"'`,;]{4,64})"
    r"|[#:]?[ \t]?(?P<digits>[0-9]{4,12})\b)",
    re.ASCII | re.IGNORECASE,
)


def _said(text: str, ascii_text: bytes) -> Iterator[Span]:
    lowered = ascii_text.lower()
    for saying in _SAYING:
        at = lowered.find(saying)
        while at >= 0:
            if match := _SAID.match(text, at):
                group = "word" if match["word"] else "digits"
                value = match[group].rstrip(".!?")
                if any(map(str.isdigit, value)) and not _is_placeholder(value):
                    yield Span(start=match.start(group), end=match.end(group), kind="said")
            at = lowered.find(saying, at + 1)


_NOTING = (b"pass", b"pwd", b"kennwort")
# "WiFi password: hunter2", "Passwort: Sommer2024!", one to a line: six characters are enough.
_NOTED = re.compile(
    r"(?:pass(?:w(?:or)?d|wort|phrase|code)s?|(?<![A-Za-z])pass|pwd|kennwort)[\"'`*_]{0,3}"
    r"[ \t]{0,4}(?P<sign>[:=])[*_]{0,3}[ \t]{0,8}[\"'`]?(?P<value>[^\s\"'`()\[\]{}<>|]{6,64})"
    r"[\"'`*_]{0,3}(?P<ends>,?[ \t]{0,8}(?:\n|\Z))?(?(ends)|(?=\s))",
    re.IGNORECASE,
)


def _noted(text: str, ascii_text: bytes) -> Iterator[Span]:
    lowered = ascii_text.lower()
    for noting in _NOTING:
        at = lowered.find(noting)
        while at >= 0:
            match = _NOTED.match(text, at)
            if match and _is_noted(match["value"], match["sign"], ends=match["ends"] is not None):
                yield Span(start=match.start("value"), end=match.end("value"), kind="said")
            at = lowered.find(noting, at + 1)


def _is_noted(value: str, sign: str, *, ends: bool) -> bool:
    """Whether a value with no blank in it is a password, and no word, reference or place.

    `ends`: nothing follows it on its line.
    """
    word = value.rstrip(".,;:?")
    if len(word) < 6 or _is_placeholder(value) or word.startswith(("/", "./", "~/", "$", "%")):
        return False
    if "://" in word:  # its password has a rule of its own
        return False
    if any(map(str.isdigit, word)):
        return True
    if word.islower() and word.isalpha():
        return False
    if word.isidentifier() and (sign == "=" or "_" in word):  # a name, in code
        return False
    if _REFERENCE.fullmatch(word):
        return False
    return any(map(str.isalpha, word)) and (ends or word != value)


_PLACEHOLDER = re.compile(
    r"[<{\[(]|\$[a-z_]\w*$|%[a-z_]\w*%$"
    r"|.*(?:\$[({]|\{\{|%\(|%s|xxxx|\*\*\*|\.\.\.|change_?me|example|placeholder|your[-_])",
    re.ASCII | re.IGNORECASE,
)
_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+", re.ASCII)
_NUMBERS = re.compile(r"[0-9]+")
_UUID_OR_HEX = re.compile(r"[0-9a-f-]+|[0-9A-F-]+")
_LOCATION = re.compile(r"\.{0,2}/|~/|[a-z]{2,9}:/|[A-Z]:\\|.*\.(?:\w{1,4}|html|json)$", re.ASCII)


def _is_placeholder(value: str) -> bool:
    return _PLACEHOLDER.match(value) is not None


def _is_secret_value(value: str, *, password: bool, quoted: bool) -> bool:
    """Whether the value that a key-like name was given is a secret, not a word or a reference."""
    value = value.rstrip(".,:!?*_\\")
    n_numbers = len(_NUMBERS.findall(value))
    if len(value) < 8 or not n_numbers or _is_placeholder(value):
        return False
    if not password and _LOCATION.match(value):
        return False
    if not quoted and _REFERENCE.fullmatch(value):
        return False
    random = (
        len(value) >= 10
        and (_share_of_words(value) < 0.6 or n_numbers >= 3)
        and _entropy(value)
        >= (3.0 if _UUID_OR_HEX.fullmatch(value) else min(3.5, log2(len(value)) - 0.6))
        and not value.isdigit()
    )
    if random or not password:
        return random
    # People's own passwords are words with a digit and a sign; code's references are not quoted.
    return any(map(str.isalpha, value)) and (quoted or not value.isidentifier())


# --- numbers of cards and accounts ---------------------------------------------------------------

_CARD = re.compile(r"[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}(?![\w.][0-9]|[A-Za-z0-9_])", re.ASCII)
_ISSUER = re.compile(
    r"4(?:.{12}|.{15}|.{18})|5[1-5].{14}|2[2-7].{14}|3[47].{13}|3[068].{12}|35.{14}|6(?:011|4|5).+"
)
# It starts at the check digits and looks back, because digits are rarer in text than capitals.
_IBAN = re.compile(r"[0-9][0-9](?<=[A-Z]{2}..)(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?", re.ASCII)
# Length of an IBAN by country (ISO 13616).
_IBAN_LENGTH = {
    country: n
    for n, countries in (
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FO GL NL"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "PT"),
        (26, "IS TR"),
        (27, "FR GR IT MC MR SM"),
        (28, "AL AZ CY DO GT HU LB PL"),
        (29, "BR PS QA UA"),
        (30, "JO KW MU"),
        (31, "MT SC"),
    )
    for country in countries.split()
}


def _cards(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        digits = match[0].replace(" ", "").replace("-", "")
        before = text[match.start() - 1 : match.start()]
        if before.isalnum() or before in "_.-/" or len(set(digits)) < 3:
            continue
        if _ISSUER.fullmatch(digits) and _passes_luhn(map(int, reversed(digits))):
            yield Span(start=match.start(), end=match.end(), kind="card")


def _passes_luhn(digits_from_the_right: Iterable[int]) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(digits_from_the_right):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        length = _IBAN_LENGTH.get(text[start : start + 2])
        account = text[start : match.end()].replace(" ", "")[:length]
        if length is None or len(account) < length or text[start - 1 : start].isalnum():
            continue
        # Country and check digits go last, letters count from 10: the remainder is 1 (ISO 7064).
        if int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1:
            yield Span(start=start, end=match.end(), kind="iban")
