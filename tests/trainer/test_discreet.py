"""How an error that nobody caught is told where it is kept: kind and places, no text."""

import subprocess
import sys

import pytest

DIARY = "my diary of last night"
FAIL = f"def fail(): raise KeyError({DIARY!r})\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("fail()", "KeyError at <string>:4 < <string>:5\n"),
        ("try: fail()\nexcept KeyError: raise ValueError(1)\n", "ValueError at <string>:6\n"),
        (
            "thread = threading.Thread(target=fail)\nthread.start()\nthread.join()",
            "KeyError at <string>:4 < threading.py",
        ),
    ],
)
def test_no_text_is_in_what_is_told(code: str, told: str) -> None:
    """In whichever thread it was, and whatever it was raised from."""
    begin = "import threading\nfrom afterword_trainer import discreet\ndiscreet.be_discreet()\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + FAIL + code], capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith(told)
    assert DIARY not in done.stderr
    assert done.stderr.count("\n") == 1
