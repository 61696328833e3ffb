"""The command line of sendmail(1)."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.send.failures import USAGE, SendError
from letterlock.send.options import Options, parse_options

_DEFAULTS = {name: getattr(Options(), name) for name in Options.__slots__}


def _parse(*words: str, name: str = "sendmail") -> dict[str, Any]:
    """Give what differs from the defaults."""
    options = parse_options(name, list(words))
    found = {slot: getattr(options, slot) for slot in Options.__slots__}
    return {slot: value for slot, value in found.items() if value != _DEFAULTS[slot]}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["a@b", "c"], {"recipients": ("a@b", "c")}),
        (["-t"], {"has_header_recipients": True}),
        (["-ti"], {"has_header_recipients": True, "is_dot_text": True}),
        (["-t", "-oi"], {"has_header_recipients": True, "is_dot_text": True}),
        (["-o", "i", "a"], {"is_dot_text": True, "recipients": ("a",)}),
        (["-OIgnoreDots=true"], {"is_dot_text": True}),
        (["-O", "QueueDirectory=/tmp"], {}),
        (["-oem", "-oee", "-odb", "-om", "-os", "a"], {"recipients": ("a",)}),
        (["-fa@b"], {"sender": "a@b"}),
        (["-f", "a@b"], {"sender": "a@b"}),
        (["-r", "<a@b>"], {"sender": "a@b"}),
        (["-f", "<>"], {"sender": ""}),
        (["-f", ""], {"sender": ""}),
        (["-tif", "a@b", "c"], {"is_dot_text": True, "has_header_recipients": True}
            | {"sender": "a@b", "recipients": ("c",)}),
        (["-FJo Doe"], {"full_name": "Jo Doe"}),
        (["-F", "Jo"], {"full_name": "Jo"}),
        (["-N", "never"], {"notify": "NEVER"}),
        (["-Nsuccess,Delay"], {"notify": "SUCCESS,DELAY"}),
        (["-R", "hdrs"], {"ret": "HDRS"}),
        (["-Rfull"], {"ret": "FULL"}),
        (["-V", "id 1"], {"envid": "id 1"}),
        (["-B8BITMIME", "-B", "7bit"], {}),
        (["-h", "3", "a"], {"recipients": ("a",)}),
        (["-h"], {"task": "help"}),
        (["--help"], {"task": "help"}),
        (["--version"], {"task": "version"}),
        (["-v", "a"], {"is_verbose": True, "recipients": ("a",)}),
        (["-bm", "a"], {"recipients": ("a",)}),
        (["-bp"], {"task": "queue"}),
        (["-bi"], {"task": "aliases"}),
        (["-I"], {"task": "aliases"}),
        (["-bs"], {"task": "smtp"}),
        (["-q"], {"task": "flush"}),
        (["-q30m"], {"task": "idle"}),
        (["-bv", "a@b"], {"task": "explain", "recipients": ("a@b",)}),
        (["-C", "/x.toml"], {"config": "/x.toml"}),
        (["--config", "/x.toml"], {"config": "/x.toml"}),
        (["--config=/x.toml"], {"config": "/x.toml"}),
        (["-i", "--", "-x@y"], {"is_dot_text": True, "recipients": ("-x@y",)}),
        (["a", "-t"], {"recipients": ("a", "-t")}),
        (["-"], {"recipients": ("-",)}),
        (["-Am", "-Ac", "-d8.100", "-L", "tag", "-X", "/log", "-n", "-m", "-U", "-G", "-eq"], {}),
        (["-p", "ESMTP:host", "a"], {"recipients": ("a",)}),
        (["-w", "a"], {"recipients": ("a",)}),
    ],
)  # fmt: skip
def test_options_are_those_of_sendmail(words: list[str], expected: dict[str, Any]) -> None:
    assert _parse(*words) == expected


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-f"], "-f: its value is missing"),
        (["--config"], "--config: its value is missing"),
        (["--nothing"], "no such option: --nothing"),
        (["-bd"], "letterlock serve"),
        (["-bx"], "no such mode"),
        (["-N", "sometimes"], "-N takes"),
        (["-N", "never,failure"], "-N takes"),
        (["-R", "half"], "-R takes"),
        (["-B", "9BIT"], "-B takes"),
    ],
)
def test_what_cannot_be_done_is_a_fault_of_usage(words: list[str], text: str) -> None:
    with pytest.raises(SendError, match=text) as caught:
        _parse(*words)
    assert caught.value.code == USAGE


def test_programs_of_other_names_do_what_those_do() -> None:
    assert _parse(name="mailq") == {"task": "queue"}
    assert _parse(name="newaliases") == {"task": "aliases"}


@given(st.lists(st.text(alphabet="-tifFrbNRVBhoOCqdXAL=,a@ ", max_size=6), max_size=6))
def test_any_words_are_options_or_an_error(words: list[str]) -> None:
    with contextlib.suppress(SendError):
        assert set(parse_options("sendmail", words).recipients) <= set(words)
