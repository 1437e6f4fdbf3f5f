"""Secrets are found in any surroundings, ordinary text is left alone, and no input is slow."""

import base64
import inspect
import json
import random
import string
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from afterword_trainer.secrets import CERTAIN, find, is_secret_file, redact
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings
from hypothesis import given
from hypothesis import strategies as st

SEED = 20_240_229
LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
HEX, ALNUM = "0123456789abcdef", string.ascii_letters + string.digits
URL64 = ALNUM + "-_"
WORDS = [
    "harbour",
    "violet",
    "copper",
    "winter",
    "meadow",
    "silver",
    "lantern",
    "orchid",
    "thunder",
    "pebble",
]


class Maker:
    """Random secrets; `kinds` names what each method below makes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, alphabet: str, n: int) -> str:
        return "".join(self.random.choices(alphabet, k=n))

    def base64(self, n_bytes: int) -> str:
        return base64.b64encode(self.random.randbytes(n_bytes)).decode()

    def url64(self, n_bytes: int) -> str:
        return base64.urlsafe_b64encode(self.random.randbytes(n_bytes)).decode().rstrip("=")

    def pem(self, label: str, n_bytes: int) -> str:
        body = self.base64(n_bytes)
        lines = [body[i : i + 64] for i in range(0, len(body), 64)]
        return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"))

    def jwt(self) -> str:
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
        claims = json.dumps({"sub": self.some(DIGITS, 10), "iat": 1516239022})
        middle = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
        return f"{head}.{middle}.{self.url64(32)}"

    def password(self) -> str:
        word = self.random.choice(WORDS)
        return word.capitalize() + self.some(DIGITS, 3) + self.random.choice("!?#+=%") + "Qz"

    def card(self) -> str:
        digits = [int(d) for d in self.random.choice(("4", "51", "55")).ljust(15, "x") if d != "x"]
        digits += [self.random.randrange(10) for _ in range(15 - len(digits))]
        total = sum(
            (d * 2 - 9 if d > 4 else d * 2) if i % 2 == 0 else d for i, d in enumerate(digits)
        )
        number = "".join(map(str, digits)) + str(-total % 10)
        return self.random.choice(("", " ", "-")).join(number[i : i + 4] for i in (0, 4, 8, 12))

    def iban(self) -> str:
        account = self.some(DIGITS, 18)
        check = 98 - int(account + "131400") % 97  # D is 13, E is 14
        number = f"DE{check:02}{account}"
        parts = [number[i : i + 4] for i in range(0, len(number), 4)]
        return self.random.choice(("", " ")).join(parts)


# kind -> (the name that it is given in a file, how one is made)
Make = Callable[[Maker], str]
PREFIXED: dict[str, tuple[str, Make]] = {
    "amazon id": ("aws_access_key_id", lambda m: "AKIA" + m.some(UPPER + "234567", 16)),
    "github": ("deploy", lambda m: "ghp_" + m.some(ALNUM, 36)),
    "github fine-grained": (
        "value",
        lambda m: f"github_pat_{m.some(ALNUM, 22)}_{m.some(ALNUM, 59)}",
    ),
    "gitlab": ("value", lambda m: "glpat-" + m.some(URL64, 20)),
    "slack": (
        "bot",
        lambda m: f"xoxb-{m.some(DIGITS, 12)}-{m.some(DIGITS, 12)}-{m.some(ALNUM, 24)}",
    ),
    "slack hook": (
        "url",
        lambda m: (
            f"https://hooks.slack.com/services/T{m.some(UPPER, 8)}/B{m.some(UPPER, 8)}"
            f"/{m.some(ALNUM, 24)}"
        ),
    ),
    "stripe": ("billing", lambda m: "sk_live_" + m.some(ALNUM, 24)),
    "openai": ("value", lambda m: f"sk-{m.some(ALNUM, 20)}T3BlbkFJ{m.some(ALNUM, 20)}"),
    "anthropic": ("value", lambda m: "sk-ant-api03-" + m.some(URL64, 93) + "AA"),
    "google": ("maps", lambda m: "AIza" + m.some(URL64, 35)),
    "sendgrid": ("mailer", lambda m: f"SG.{m.some(URL64, 22)}.{m.some(URL64, 43)}"),
    "npm": ("registry", lambda m: "npm_" + m.some(ALNUM, 36)),
    "pypi": ("registry", lambda m: "pypi-AgEIcHlwaS5vcmc" + m.some(URL64, 120)),
    "twilio": ("sid", lambda m: "SK" + m.some(HEX, 32)),
    "digitalocean": ("value", lambda m: "dop_v1_" + m.some(HEX, 64)),
    "hugging face": ("hub", lambda m: "hf_" + m.some(ALNUM, 34)),
    "telegram": ("bot", lambda m: m.some("123456789", 9) + ":AA" + m.some(URL64, 32) + "x"),
    "discord": ("bot", lambda m: f"M{m.some(ALNUM, 23)}.{m.some(URL64, 6)}.{m.some(URL64, 27)}"),
    "vault": ("value", lambda m: "hvs." + m.some(URL64, 24)),
    "web token": ("session", lambda m: m.jwt()),
}
PEM: dict[str, tuple[str, Make]] = {
    "rsa": ("rsa", lambda m: m.pem("RSA PRIVATE KEY", 1190)),
    "openssh": ("ssh", lambda m: m.pem("OPENSSH PRIVATE KEY", 400)),
    "pkcs8": ("signing", lambda m: m.pem("PRIVATE KEY", 120)),
}
GENERIC: dict[str, tuple[str, Make]] = {
    "amazon secret": ("aws_secret_access_key", lambda m: m.base64(30)),
    "hex key": ("api_key", lambda m: m.some(HEX, 32)),
    "base36 key": ("apiKey", lambda m: m.some(LOWER + DIGITS, 24)),
    "uuid key": ("auth-token", lambda m: str(UUID(m.some(HEX, 32)))),
    "own password": ("password", lambda m: m.password()),
    "random password": ("db_password", lambda m: m.some(ALNUM + "!@#$%^&*+-?", 18)),
    "url password": (
        "database_url",
        lambda m: f"postgres://app:{m.some(ALNUM, 12)}@db.internal:5432/app",
    ),
    "bearer": ("Authorization", lambda m: "Bearer " + m.url64(24)),
    "azure": (
        "storage",
        lambda m: f"AccountName=acme;AccountKey={m.base64(64)};EndpointSuffix=core",
    ),
    "bare hex": ("value", lambda m: m.some(HEX, 40)),
    "bare base64": ("value", lambda m: m.base64(32)),
    "card": ("billing", lambda m: m.card()),
    "iban": ("account", lambda m: m.iban()),
}  # fmt: skip


def indented(secret: str) -> str:
    return "|\n    " + secret.replace("\n", "\n    ") if "\n" in secret else secret


CONTEXTS: dict[str, Callable[[str, str], str]] = {
    "code": lambda name, secret: f"def f():\n    {name} = {json.dumps(secret)}\n    return 1\n",
    "yaml": lambda name, secret: f"service:\n  {name}: {indented(secret)}\n",
    "env": lambda name, secret: f"PORT=80\n{name.upper()}={secret}\nDEBUG=1\n",
    "markdown": lambda name, secret: f"# Notes\n\nThe {name} is `{secret}`, keep it.\n",
    "json": lambda name, secret: json.dumps({"port": 80, name: secret}, indent=2) + "\n",
}


def made(n: int, kinds: dict[str, tuple[str, Make]]) -> list[tuple[str, str, str, str]]:
    """`n` secrets as (kind, context, text, secret), kinds and contexts evenly mixed."""
    maker = Maker(SEED)
    pairs = [(kind, context) for kind in kinds for context in CONTEXTS]
    result = []
    for index in range(n):
        kind, context = pairs[index % len(pairs)]
        name, make = kinds[kind]
        secret = make(maker)
        result.append((kind, context, CONTEXTS[context](name, secret), secret))
    return result


def is_gone(text: str, secret: str) -> bool:
    """No line of the secret is left, however the context has spelled it."""
    left = redact(text)[0].replace("\\n", "\n")
    return not any(line in left for line in secret.split("\n"))


def misses(n: int, kinds: dict[str, tuple[str, Make]]) -> Counter[tuple[str, str]]:
    return Counter((k, c) for k, c, text, secret in made(n, kinds) if not is_gone(text, secret))


def test_every_prefixed_token_and_every_pem_block_is_found() -> None:
    """Recall is 100 % where the form itself says what it is."""
    assert Counter() == misses(1400, PREFIXED | PEM)


def test_recall_over_all_kinds_is_at_least_95_percent() -> None:
    """2,000 secrets of more than 30 kinds in code, YAML, .env, Markdown and JSON."""
    assert len(PREFIXED | PEM | GENERIC) >= 30
    missed = misses(2000, PREFIXED | PEM | GENERIC)

    assert missed.total() <= 0.05 * 2000, missed


def test_what_detect_secrets_finds_we_find(tmp_path: Path) -> None:
    """Nothing that an independent scanner takes for a secret is left.

    Of its plugins, only the one for public IP addresses is left out: an address is no secret.
    """
    names = """
        ArtifactoryDetector AWSKeyDetector AzureStorageKeyDetector BasicAuthDetector
        CloudantDetector DiscordBotTokenDetector GitHubTokenDetector GitLabTokenDetector
        IbmCloudIamDetector IbmCosHmacDetector JwtTokenDetector KeywordDetector MailchimpDetector
        NpmDetector OpenAIDetector PrivateKeyDetector PypiTokenDetector SendGridDetector
        SlackDetector SoftlayerDetector SquareOAuthDetector StripeDetector
        TelegramBotTokenDetector TwilioKeyDetector
    """
    plugins: list[dict[str, object]] = [{"name": name} for name in names.split()]
    plugins.append({"name": "Base64HighEntropyString", "limit": 4.5})
    plugins.append({"name": "HexHighEntropyString", "limit": 3.0})
    suffixes = {"code": "py", "yaml": "yaml", "env": "env", "markdown": "md", "json": "json"}
    n_theirs = 0
    missed = []
    with transient_settings({"plugins_used": plugins, "filters_used": []}):
        for kind, context, text, _ in made(360, PREFIXED | PEM | GENERIC):
            file = tmp_path / f"sample.{suffixes[context]}"
            file.write_text(text, "utf-8")
            left = redact(text)[0]
            for finding in scan_file(str(file)):
                n_theirs += 1
                if str(finding.secret_value) in left:
                    missed.append((kind, context, finding.type))

    assert n_theirs > 250
    assert missed == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", []),
        ("Call me Ishmael. Some years ago, never mind how long precisely.", []),
        ("password: see the drawer\ntoken = tokens.next()\nkey = lambda item: item.name", []),
        ('password = os.environ["DATABASE_PASSWORD"]\npassword = "${DB_PASSWORD}"', []),
        ("api_key = <your-api-key-1234>\npassword = changeme123", []),
        ("secret_key_file = /etc/service/keys/server1.key", []),
        ("Lord Keynes, 1883-1946, author: Skidelsky2003", []),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301 is a UUID that nothing calls a key", []),
        ("tel +49 30 1234 5678 9012 and ISBN 978-3-16-148410-0", []),
        ("see https://example.org/2024/some-long-path/with-many-parts/index.html", []),
        ("docs/BeginnersGuide/Quick2Start/HowJumpyFoxesVexLazyDogWizards", []),
        ("================================================================", []),
        ("hunter2hunter: password is `S3cret!pass`", ["assignment"]),
        ("mysql --password Blue42Harbour!x", ["assignment"]),
        ("<password>Blue42Harbour!x</password>", ["assignment"]),
        ('setenv("API_KEY", "k3jx9vq2hd81mz0c")', ["assignment"]),
        ("https://anna:Blue42Harbour@example.org/", ["url"]),
        ("postgres://app:app@localhost/db, smtp://u:password@example.org", []),  # as in examples
        ('password = "blorf quizzle 9 wumpet dranth"', ["assignment"]),
        ('pwd = "harbouring quizzle 9"', ["assignment"]),
        ("author:\n  skidelsky20031946\n", []),
        ("passphrase: 'correct horse battery staple'", ["assignment"]),
        ('"password": "enter your new password"', []),
        ('password_help = "at least 8 letters"', []),
        ('password = "{} of 8 letters"', []),
        ("Password:\n\nXk9mPq2vLw8z\n", ["assignment"]),
        ("**Password:**\nXk9mPq2vLw8z", ["assignment"]),
        ("Password:\n\nXk9mPq2vLw8z is what she said", []),
        ("passwords:\n  - Xk9!mPq2vLw8\n  - 'Blue42Harbour!x'\n- plain\n", ["assignment"] * 2),
        ("if self.password:\n    self.check8\n", []),
        ("if password:\n    return check_v8(password)\n", []),
        ("tokens:\n  - harbour2\n  - violet4\n", []),
        ("paid with 4111 1111 1111 1111", []),  # too regular to be anybody's
        ("paid with 4539 5787 6362 1486", ["card"]),
        ("paid with 4539 5787 6362 1487", []),  # the check digit is wrong
        ("GB82 WEST 1234 5698 7654 32 is the account", ["iban"]),
        ("GB82 WEST 1234 5698 7654 33 is not", []),
    ],
)
def test_rules(text: str, kinds: list[str]) -> None:
    """What each rule takes for a secret and what it leaves."""
    assert kinds == [span.kind for span in find(text)]


def test_redacted_lines_become_one_break() -> None:
    """The whole line goes; neighbours that go together leave one empty line."""
    key = "ghp_" + "a1B2" * 9
    text = f"one\nmine: {key}\nalso: {key}\ntwo\n{key}"

    assert redact(text) == ("one\n\ntwo\n\n", 3)
    assert redact(f"{key}\nlast") == ("\nlast", 1)
    assert redact(key) == ("\n", 1)
    assert redact("plain\n") == ("plain\n", 0)


def test_a_block_without_an_end_goes_as_far_as_it_looks_like_one() -> None:
    """A private key cut short, then prose: the key goes, the prose stays."""
    body = Maker(1).pem("RSA PRIVATE KEY", 400).rsplit("\n", 1)[0]

    assert redact(f"before\n{body}\nSo far the key.") == ("before\n\nSo far the key.", 1)


def test_talk_of_a_block_is_no_block() -> None:
    """A heading whose end stands a chapter later takes its own line, not the chapter."""
    chapter = "All of this is prose.\n" * 1000
    text = f"It begins with -----BEGIN CERTIFICATE-----\n{chapter}and ends with -----END X-----\n"

    assert redact(text) == (f"\n{chapter}and ends with -----END X-----\n", 1)


def test_a_second_block_begins_before_the_first_has_ended() -> None:
    """The end of another block is not taken for the end of this one."""
    whole = Maker(2).pem("PRIVATE KEY", 100)
    cut = whole.rsplit("\n", 1)[0]

    assert redact(f"{cut}\nprose\n{whole}\nafter") == ("\nprose\n\nafter", 2)


def test_clean_text_loses_next_to_nothing() -> None:
    """At most 0.3 % of the characters of the standard library, which holds no secrets."""
    stdlib = Path(inspect.__file__).parent
    texts = [path.read_text("utf-8") for path in sorted(stdlib.glob("[a-m]*.py"))]
    n = sum(map(len, texts))
    lost = sum(len(text) - len(redact(text)[0]) for text in texts)

    assert n > 1_000_000
    assert lost <= 0.003 * n


@pytest.mark.parametrize(
    "unit",
    [
        "a", "A1", "-", "=", "0", "4 ", "://", "://a:", "key", "key=", "password=", "pass ",
        "password: ", "-----BEGIN ", "-----BEGIN A-----\n", "-----END ", "ghp_", "sk-", "eyJ",
        "eyJa.", "DE89 ", "T0/B0/", "\n", "\\", '"', "key\"'`", "é", "😀", "a1B2",
        "token=a1B2c3D4e5\n", "key:\n- aaaakey:\n", "key:\n", "- aaaakey:\n", 'pass="', "pass='a ",
    ],
)  # fmt: skip
def test_no_input_takes_more_than_linear_work(unit: str) -> None:
    """Four times the text makes at most about four times the calls and lines of Python.

    Work is counted, not timed; a pattern that backtracks would not end here at all.
    """

    def work(n: int) -> int:
        text = (unit * n)[:n]
        count = 0

        def tick(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(tick)
        try:
            find(text)
        finally:
            sys.setprofile(None)
        return count

    assert work(80_000) <= 4.5 * work(20_000) + 200


@given(st.text(alphabet=st.sampled_from("ab1 \n=:-_/@.\"'é😀kK")))
def test_spans_are_ordered_apart_and_inside(text: str) -> None:
    """Whatever the text, spans can be cut out one after another, and no line is invented."""
    spans = find(text)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    left, n = redact(text)

    assert sorted(edges) == edges
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert len(spans) == n
    assert set(left.split("\n")) <= {*text.split("\n"), ""}


def test_certain_kinds_are_those_that_say_what_they_are() -> None:
    """A document of hashes or of account numbers is no file of secrets."""
    assert frozenset({"pem", "token", "url"}) == CERTAIN


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".env", True),
        (".env.production", True),
        ("notes/prod.env", True),
        ("server.PEM", True),
        ("id_ed25519", True),
        ("id_rsa.pub", True),
        (".ssh/config", True),
        ("home/.aws/config", True),
        (".kube", True),
        ("credentials.json", True),
        ("secrets.prod.yaml", True),
        ("terraform.tfstate.backup", True),
        (".bash_history", True),
        (".python_history", True),
        ("core.1234", True),
        ("wallet.kdbx", True),
        ("secrets.py", False),
        ("environment.md", False),
        ("keynote.md", False),
        ("core.py", False),
        ("history.md", False),
        ("notes/ssh.md", False),
    ],
)
def test_names_of_secret_files(path: str, expected: bool) -> None:
    """Denied by name alone, at any depth and in any case."""
    assert expected == is_secret_file(path)


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("my wifi password is BlueTulip77fence", ["BlueTulip77fence"]),
        ("Zoom passcode 884213, room 4", ["884213"]),
        ("The gate code is 7719# and the alarm PIN is 3391.", ["7719#", "3391."]),
        ("the door code: 4456 today", ["4456"]),
        ("the password is eight characters long", []),
        ("password sha256 hash", []),
        ("a PIN of 4 digits, pin 1013 of the board", []),
        ("status code 404, area code is 2125", []),
        ("enter the passcode 12 times", []),
        ("wifi password: hunter2xyzzy99", ["hunter2xyzzy99"]),
        ("the password: blueberry77. Tell nobody.", ["blueberry77."]),
        ("WiFi-Passwort: Sommer2024!", ["Sommer2024!"]),
        ("passwd: letmein!\nKennwort=blau77", ["letmein!", "blau77"]),
        ("**Passwort:** `M\u00f6we!hafen`", ["M\u00f6we!hafen"]),
        ("Password: correctHorse, as ever", ["correctHorse,"]),
        ("Password: correctHorse as ever", []),
        ("password: harbour, pass: none of it", []),
        ("the password: required", []),
        ("password: Optional but wise", []),
        ("password=self.password,\npassword = ask_for_it\npasswd: user_password", []),
        ("password: ~/secret/place", []),
        ("compass: north12", []),
        ("password: abc12", []),
    ],
)
def test_passwords_are_found_as_people_note_them_down(sentence: str, found: list[str]) -> None:
    """In a sentence, with a digit in them; sentences about passwords stay."""
    assert [sentence[span.start : span.end] for span in find(sentence)] == found
