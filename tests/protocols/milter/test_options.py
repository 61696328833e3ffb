"""The negotiation of the milter protocol."""

import pytest

from letterlock.protocols.milter.options import (
    Actions,
    Options,
    Stage,
    Steps,
    format_offer,
    parse_options,
)
from letterlock.protocols.milter.packets import Violation


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def test_the_offer_is_version_6_with_all_but_refused_recipients() -> None:
    assert format_offer() == b"\0\0\0\x0dO" + numbers(6, 0x1FF, 0x1FF7FF)


def test_a_filter_chooses_actions_and_steps() -> None:
    content = numbers(6, 0x11, 0x100480)
    assert parse_options(content) == Options(
        6,
        Actions.ADD_FIELDS | Actions.CHANGE_FIELDS,
        Steps.LEADING_SPACE | Steps.SKIP | Steps.SILENT_FIELD,
    )


def test_a_filter_names_the_macros_of_a_stage() -> None:
    lists = numbers(Stage.CONNECT) + b"j {client_addr}\0" + numbers(Stage.END_OF_MESSAGE) + b"\0"
    options = parse_options(numbers(6, 0x100, 0) + lists)
    assert isinstance(options, Options)
    assert options.macros == {Stage.CONNECT: ("j", "{client_addr}"), Stage.END_OF_MESSAGE: ()}


def test_an_older_version_has_no_more_than_it_knew() -> None:
    options = parse_options(numbers(2, 0x3F, 0x7F) + b"anything")
    assert options == Options(2, Actions(0x3F), Steps(0x7F))
    bound = parse_options(numbers(2, 0x7F, 0x17F))
    assert bound == Options(2, Actions(0x3F), Steps(0x7F))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "too short"),
        (numbers(6, 0), "too short"),
        (numbers(1, 0, 0), "version 1"),
        (numbers(7, 0, 0), "version 7"),
        (numbers(6, 0, 0x800), "steps that we do not offer (0x800)"),
        (numbers(6, 0, 0x10000000), "steps that we do not offer"),
        (numbers(6, 0x200, 0), "actions that we do not offer (0x200)"),
        (numbers(6, 0, 0, 0), "lists of macros"),
        (numbers(6, 0, 0, 0) + b"i", "lists of macros"),
        (numbers(6, 0, 0, 7) + b"i\0", "lists of macros"),
        (numbers(6, 0, 0, 0) + b"i " * 101 + b"\0", "lists of macros"),
        (numbers(6, 0, 0) + (numbers(0) + b"\0") * 20, ""),
    ],
)
def test_what_is_no_answer_to_the_offer(content: bytes, reason: str) -> None:
    found = parse_options(content)
    if reason:
        assert isinstance(found, Violation)
        assert reason in found.reason
    else:
        # A list that comes again stands in place of the first.
        assert isinstance(found, Options)
