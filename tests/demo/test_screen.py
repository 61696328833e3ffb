"""The demo's screen."""

from io import StringIO

import pytest
from rich.console import Console

from letterlock.demo.screen import MAX_WIDTH, Screen


def show(*, is_terminal: bool = False, width: int = 80) -> tuple[Screen, StringIO]:
    stream = StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=width, highlight=False)
    return Screen(console), stream


def test_claims_are_counted_and_the_broken_ones_kept() -> None:
    screen, stream = show()
    screen.claim("one", holds=True)
    screen.claim("two", holds=False)
    assert screen.claims == 2
    assert screen.broken == ["two"]
    assert stream.getvalue() == "   holds        one\n   DOES NOT HOLD two\n"


def test_facts_stand_below_each_other_and_are_wrapped() -> None:
    screen, stream = show()
    screen.tell("label", "fact", "word " * 20, "")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "   label        fact"
    assert lines[1].startswith(" " * 16 + "word word")
    assert len(lines) == 4
    assert max(map(len, lines)) <= MAX_WIDTH


def test_what_can_be_copied_is_not_broken() -> None:
    screen, stream = show()
    path = "/" + "x" * 150
    screen.tell("path", path)
    screen.say(f"{path} is removed")
    screen.fail(f"{path} is not there")
    assert stream.getvalue().count(path) == 3


def test_a_narrow_terminal_is_not_overrun() -> None:
    screen, stream = show(is_terminal=True, width=50)
    screen.say("word " * 30)
    assert max(map(len, stream.getvalue().splitlines())) <= 50


def test_control_characters_and_markup_do_nothing() -> None:
    screen, stream = show()
    screen.tell("peer", "said \x1b[31m[bold]red")
    screen.quote(["\x07bell"])
    screen.fail("\x1b]0;title")
    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
    assert "[bold]red" in stream.getvalue()


def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen, stream = show(is_terminal=True)
    screen.claim("one", holds=True)
    assert "\x1b[32m" in stream.getvalue()


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org"""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    screen, stream = show(is_terminal=True)
    screen.claim("one", holds=True)
    assert "\x1b[32m" not in stream.getvalue()


def test_steps_are_numbered() -> None:
    screen, stream = show()
    screen.begin_step("first")
    screen.begin_step("second")
    assert stream.getvalue() == "\n1. first\n\n2. second\n"


def test_the_end_is_a_table() -> None:
    screen, stream = show()
    screen.sum_up("a@example.org", "sent", "word " * 20)
    screen.sum_up("b@example.org", "waits", "")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("   a@example.org         sent  word word")
    assert lines[1].startswith(" " * 31 + "word")
    assert lines[2].split() == ["b@example.org", "waits"]
    assert max(map(len, lines)) <= MAX_WIDTH
