"""RFC 8259, RFC 7493: JSON of unknown origin is a value with its faults named, or the one error."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.json_text import (
    Contradiction,
    OddNumber,
    check_size,
    has_repeated_names,
    parse_json,
)
from letterlock.protocols.tlsrpt.limits import (
    MAX_JSON_DEPTH,
    MAX_JSON_MEMBERS,
    MAX_REPORT_OCTETS,
)
from letterlock.protocols.tlsrpt.report import Fault, ReportError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_good_json_is_what_the_standard_library_reads(value: Any, is_ascii: bool) -> None:
    octets = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    try:
        octets.decode()
    except UnicodeDecodeError:
        return
    found, faults = parse_json(octets)
    assert found == value
    assert faults == []


@pytest.mark.parametrize(
    ("octets", "value", "fault"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}, "a byte order mark stands before it"),
        ('{"a": "ü"}'.encode("latin-1"), {"a": "ü"}, "not utf-8: read as Latin-1"),
        ('{"a": "ü"}'.encode("utf-16"), {"a": "ü"}, "in utf-16, not in UTF-8"),
        (b"[1]\n\nx", [1], "what stands behind its end is left out"),
        (b"[1]\0\0\n", [1], "zeros stand behind its end"),
        (b'["a\nb"]', ["a\nb"], "control characters stand in strings as they are"),
    ],
)
def test_deviations_of_the_text_are_read_and_named(octets: bytes, value: Any, fault: str) -> None:
    assert parse_json(octets) == (value, [fault])


@pytest.mark.parametrize("octets", [b"[1]\r\n \t", b"\n [1]"])
def test_white_space_around_it_is_none(octets: bytes) -> None:
    """RFC 8259 §2."""
    assert parse_json(octets) == ([1], [])


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e400", "1e400"),
        ("9" * 31, "9" * 30 + "..."),
        ("1." + "9" * 2000, "1." + "9" * 28 + "..."),
    ],
)
def test_numbers_that_no_counter_has_are_told_apart(number: str, shown: str) -> None:
    (found,), _ = parse_json(f"[{number}]".encode())
    assert isinstance(found, OddNumber)
    assert repr(found) == shown


def test_a_name_that_stands_twice_is_named_and_has_no_value_where_they_differ() -> None:
    """RFC 7493 §2.3."""
    found, faults = parse_json(b'[{"a": 1, "a": 1, "b": 1, "b": 2, "b": 1, "c": 3}]')
    assert found[0]["a"] == 1
    assert isinstance(found[0]["b"], Contradiction)
    assert found[0]["c"] == 3
    assert faults == ["an object has a name twice: with different values, it has none"]
    assert has_repeated_names({"a": [found, 1]})
    assert not has_repeated_names({"a": [{"b": {}}, 1]})


@pytest.mark.parametrize(
    "octets",
    [b"", b" ", b"{", b"[1,]", b"{'a': 1}", b"[1 2]", b"\x80", b'"', b"// a\n[]", b"]", b"nul"],
)
def test_what_is_no_json_is_refused_as_that(octets: bytes) -> None:
    with pytest.raises(ReportError) as caught:
        parse_json(octets)
    assert caught.value.fault is Fault.NOT_JSON
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("octets", "is_read"),
    [
        (b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH, True),
        (b"[" * (MAX_JSON_DEPTH + 1) + b"]" * (MAX_JSON_DEPTH + 1), False),
        (b'{"a":' * (MAX_JSON_DEPTH + 1) + b"1" + b"}" * (MAX_JSON_DEPTH + 1), False),
        (b"[" + b'"[[[[{{{{\\"]}}", ' * 100 + b"1]", True),
        (b"[" + b"[[]], " * 100 + b"1]", True),
        (b"[" * 100_000, False),
    ],
)
def test_what_is_nested_too_deep_is_refused(octets: bytes, is_read: bool) -> None:
    if is_read:
        parse_json(octets)
        return
    with pytest.raises(ReportError) as caught:
        parse_json(octets)
    assert caught.value.fault is Fault.TOO_LARGE


def test_what_is_cut_off_is_no_json_however_many_objects_it_has() -> None:
    with pytest.raises(ReportError) as caught:
        parse_json(b'{"a": [' + b'{"b": {}}, ' * 100)
    assert caught.value.fault is Fault.NOT_JSON


def test_an_interpreter_with_a_low_limit_refuses_too() -> None:
    """Whatever the stack that is left."""
    octets = b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH
    limit = sys.getrecursionlimit()

    def descend() -> Exception | None:
        try:
            return descend()
        except RecursionError:
            try:
                parse_json(octets)
            except ReportError as error:
                return error
        return None

    try:
        sys.setrecursionlimit(300)
        found = descend()
    finally:
        sys.setrecursionlimit(limit)
    assert found is None or isinstance(found, ReportError)


@pytest.mark.parametrize(
    "octets",
    [
        b" " * (MAX_REPORT_OCTETS + 1),
        b"," * (MAX_JSON_MEMBERS + 1),
        b'"' * (4 * MAX_JSON_MEMBERS + 5),
    ],
    ids=["octets", "members", "strings"],
)
def test_what_is_too_large_is_refused_before_it_is_read(octets: bytes) -> None:
    with pytest.raises(ReportError) as caught:
        check_size(octets)
    assert caught.value.fault is Fault.TOO_LARGE
