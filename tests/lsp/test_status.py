"""What a status item shows, by what the daemon told and what is off."""

from typing import Any, get_args

import pytest
from afterword_daemon.protocol import Changed, State
from afterword_daemon.starting import NotRunningError
from afterword_lsp.orders import COMMANDS
from afterword_lsp.status import Off, status

DETAIL = "line 3: no such setting; correct it, then: afterword config check"


@pytest.mark.parametrize(
    ("news", "expected"),
    [
        (None, ("starting", "", None)),
        (Changed(state="ready"), ("ready", "", None)),
        (Changed(state="learning", progress=0.534), ("learning", "learning", 53)),
        (Changed(state="degraded", progress=0.5), ("degraded", "learning", 50)),
        (Changed(state="forgetting"), ("forgetting", "forgetting", None)),
        (Changed(state="forgetting", progress=0.0), ("forgetting", "forgetting", 0)),
        (Changed(state="paused"), ("paused", "", None)),
    ],
)
def test_the_state_is_the_daemons(
    news: Changed | None, expected: tuple[str, str, int | None]
) -> None:
    """With what goes on beside and how far it is, also where suggestions are off."""
    shown = status(news, None)
    assert (shown["state"], shown["work"], shown["percent"]) == expected
    off = status(news, None, off="buffer")
    assert (off["state"], off["work"], off["percent"]) == ("off-here", *expected[1:])


@pytest.mark.parametrize("state", get_args(State))
def test_every_state_has_a_sentence(state: State) -> None:
    """The daemon's, where it has one."""
    assert status(Changed(state=state), None)["detail"].endswith((".", "doctor"))
    assert status(Changed(state=state, detail=DETAIL), None)["detail"] == DETAIL


@pytest.mark.parametrize("off", [off for off in get_args(Off) if off])
def test_what_is_off_has_a_sentence_and_a_way_on(off: Off) -> None:
    """In the words of what is off; the daemon's detail is about something else."""
    news = Changed(state="ready", detail=DETAIL)
    shown = status(news, None, off=off, uri="untitled:{1}", language="tex")
    assert shown["reason"] == off
    assert shown["state"] == ("off" if off == "off" else "off-here")
    assert not shown["enabled"]
    assert shown["detail"].endswith(".")
    assert "{" not in shown["detail"]


def test_settings_that_cannot_be_read_are_named_where_they_turn_things_off() -> None:
    """Else nobody would know why, who has written nothing of the kind."""
    shown = status(Changed(state="degraded", detail=DETAIL), None, off="config", language="tex")
    assert shown["detail"] == f"Suggestions are off for tex in config.toml. {DETAIL}"


@pytest.mark.parametrize(
    ("how", "command", "arguments"),
    [
        ({}, "afterword.whyNoSuggestion", []),
        ({"off": "off"}, "afterword.toggle", []),
        ({"off": "language"}, "afterword.toggle", ["tex"]),
        ({"off": "buffer"}, "afterword.toggle", ["untitled:{1}"]),
        ({"off": "config"}, "afterword.settings", []),
    ],
)
def test_what_comes_next_is_a_command(how: Any, command: str, arguments: list[str]) -> None:
    """One of ours, with what it needs, so that a menu has only to run it."""
    shown = status(Changed(state="ready"), None, uri="untitled:{1}", language="tex", **how)
    assert (shown["next"]["command"], shown["next"]["arguments"]) == (command, arguments)
    assert command in COMMANDS
    assert shown["next"]["title"]


def test_without_a_daemon_it_says_why() -> None:
    """In the words of whoever looked for one, which name a remedy."""
    problem = NotRunningError()
    shown = status(None, problem)
    assert (shown["state"], shown["detail"]) == ("unavailable", str(problem))


def test_what_came_of_forgetting_is_told() -> None:
    """Once, with the state that is then."""
    news = Changed(state="ready", forgotten="the model was made without it")
    assert status(news, None)["forgotten"] == news.forgotten


def test_manual_is_said() -> None:
    """Else one would wait for what does not come."""
    assert "ask" in status(Changed(state="ready"), None, is_manual=True)["detail"]
