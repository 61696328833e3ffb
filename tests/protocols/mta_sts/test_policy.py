"""RFC 8461 §3.2 and §4.1: the policy file, and the MX hosts that it lists."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import parse_domain
from letterlock.protocols.mta_sts.policy import (
    MAX_AGE_SECONDS,
    MAX_POLICY_OCTETS,
    MtaStsMode,
    MtaStsPolicy,
    PolicyError,
    find_mx_pattern,
    format_policy,
    parse_policy,
)

EXAMPLE = b"""version: STSv1
mode: enforce
mx: mail.example.com
mx: *.example.net
mx: backupmx.example.com
max_age: 604800
"""
POLICY = MtaStsPolicy(
    MtaStsMode.ENFORCE,
    ("mail.example.com", "*.example.net", "backupmx.example.com"),
    timedelta(weeks=1),
)


def file(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def usual(*lines: str) -> bytes:
    """Make a valid policy with further lines before its usual ones."""
    return file(*lines, "version: STSv1", "mode: enforce", "mx: mx.example.com", "max_age: 60")


@pytest.mark.parametrize(
    "octets",
    [
        EXAMPLE,
        EXAMPLE.removesuffix(b"\n"),
        EXAMPLE.replace(b"\n", b"\r\n"),
        EXAMPLE.replace(b"\n", b"\r\n").removesuffix(b"\r\n"),
        EXAMPLE.replace(b"\n", b" \t\r\n", 3),
        EXAMPLE.replace(b": ", b":"),
        EXAMPLE.replace(b": ", b":\t \t"),
        EXAMPLE.replace(b"mail.example.com", b"Mail.EXAMPLE.com"),
        EXAMPLE + b"mx: mail.example.com",
        EXAMPLE + b"later: with spaces, \xc3\xa9 and so on\nx: 1",
        EXAMPLE + b"mode: none\nmax_age: 1\nversion: STSv9",
        EXAMPLE + b"mode: what",
        EXAMPLE + b"Mode: none",
    ],
)
def test_a_valid_policy_is_read(octets: bytes) -> None:
    """RFC 8461 §3.2, rule 66: ends of lines, white space, order, unknown and double keys."""
    assert parse_policy(octets) == POLICY


def test_keys_may_come_in_any_order() -> None:
    """RFC 8461 §3.2."""
    lines = EXAMPLE.decode().splitlines()
    assert parse_policy(file(*lines[5:], *lines[2:5], *lines[:2])) == POLICY


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        (b"", "version"),
        (b"\xff", "UTF-8"),
        (file("mode: enforce", "mx: a.example", "max_age: 1"), "version"),
        (file("version: STSv1", "mx: a.example", "max_age: 1"), "mode"),
        (file("version: STSv1", "mode: enforce", "mx: a.example"), "max_age"),
        (file("version: STSv1", "mode: enforce", "max_age: 1"), "no mx"),
        (file("version: STSv1", "mode: testing", "max_age: 1"), "no mx"),
        (usual("version: STSv2"), "version"),
        (usual("version: stsv1"), "version"),
        (usual("mode: Enforce"), "mode"),
        (usual("mode: report"), "mode"),
        (usual("max_age: -1"), "max_age"),
        (usual("max_age: 1.5"), "max_age"),
        (usual("max_age: 12345678901"), "max_age"),
        (usual("max_age: \u0661"), "max_age"),
        (usual("max_age: 1 day"), "max_age"),
        (usual("mx:"), "line 1"),
        (usual("mx: "), "line 1"),
        (usual("mx : a.example"), "line 1"),
        (usual(" mx: a.example"), "line 1"),
        (usual("mx a.example"), "line 1"),
        (usual(""), "line 1"),
        (EXAMPLE + b"\n", "line 7"),
        (EXAMPLE + b"x: y\r", "line 7"),
        (EXAMPLE.replace(b"\n", b"\r"), "line 1"),
        (usual("_x: y"), "line 1"),
        (usual("x" * 33 + ": y"), "line 1"),
        (usual("x: a\tb"), "line 1"),
        (usual("x: \x7f"), "line 1"),
        (usual("x: a\0b"), "line 1"),
        (b"\xef\xbb\xbf" + EXAMPLE, "line 1"),
        (b"<!doctype html><title>404</title>", "line 1"),
        (EXAMPLE + b"x: " + b"a" * MAX_POLICY_OCTETS, "octets"),
    ],
)
def test_a_policy_that_breaks_the_grammar_is_none(octets: bytes, word: str) -> None:
    """RFC 8461 §3.2, rule 66: no white space before a colon, no empty lines."""
    policy = parse_policy(octets)
    assert isinstance(policy, PolicyError)
    assert word in policy.reason
    assert policy.reason.isprintable()
    assert len(policy.reason) < 200


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "*.",
        "*example.com",
        "mx*.example.com",
        "mx.*.example.com",
        "*.*.example.com",
        ".example.com",
        "mx.example.com.",
        "mx..example.com",
        "-mx.example.com",
        "mx.bücher.example",
        "[192.0.2.1]",
        "mx.example.com, mx2.example.com",
        "mx.example.com mx2.example.com",
        "a" * 64 + ".example",
        ".".join(["a"] * 128),
    ],
)
def test_a_pattern_is_a_domain_in_a_labels_with_at_most_one_wildcard_in_front(
    pattern: str,
) -> None:
    """RFC 8461 §3.2, rule 146."""
    policy = parse_policy(usual(f"mx: {pattern}"))
    assert isinstance(policy, PolicyError)
    assert "mx pattern" in policy.reason


def test_mode_none_needs_no_mx() -> None:
    """RFC 8461 §3.2."""
    policy = parse_policy(file("version: STSv1", "mode: none", "max_age: 0"))
    assert policy == MtaStsPolicy(MtaStsMode.NONE, (), timedelta(0))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0000000001", 1),
        (str(MAX_AGE_SECONDS), MAX_AGE_SECONDS),
        (str(MAX_AGE_SECONDS + 1), MAX_AGE_SECONDS),
        ("9999999999", MAX_AGE_SECONDS),
    ],
)
def test_max_age_is_a_year_at_most(text: str, seconds: int) -> None:
    """RFC 8461 §3.2, rule 67."""
    policy = parse_policy(usual(f"max_age: {text}"))
    assert isinstance(policy, MtaStsPolicy)
    assert policy.max_age == timedelta(seconds=seconds)


def test_a_policy_of_the_greatest_size_is_read() -> None:
    """RFC 8461 §3.3, rule 71."""
    filler = b"x: " + b"a" * (MAX_POLICY_OCTETS - len(EXAMPLE) - 3)
    assert parse_policy(EXAMPLE + filler) == POLICY


@pytest.mark.parametrize(
    ("pattern", "mx_host", "is_match"),
    [
        ("mx1.example.com", "mx1.example.com", True),
        ("mx1.example.com", "MX1.Example.COM.", True),
        ("MX1.example.com", "mx1.example.com", True),
        ("xn--bcher-kva.example", "bücher.example", True),
        ("*.example.com", "mx1.example.com", True),
        ("*.example.com", "xn--bcher-kva.example.com", True),
        ("*.mx.microsoft", "x.h-v1.mx.microsoft", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "foo.bar.example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("*.com", "example.com", True),
        ("mx1.example.com", "mx2.example.com", False),
        ("mx1.example.com", "mx1.example.com.attacker.net", False),
        ("example", "example", True),
    ],
)
def test_a_pattern_lists_a_host_by_name_or_by_one_label(
    pattern: str, mx_host: str, is_match: bool
) -> None:
    """RFC 8461 §4.1, rule 76."""
    policy = parse_policy(
        file("version: STSv1", "mode: enforce", f"mx: {pattern}", "mx: other.test", "max_age: 9")
    )
    assert isinstance(policy, MtaStsPolicy)
    found = find_mx_pattern(policy, parse_domain(mx_host))
    assert found == (pattern.lower() if is_match else None)


def test_the_pattern_found_is_the_first_that_lists_the_host() -> None:
    """RFC 8461 §4.1."""
    policy = MtaStsPolicy(MtaStsMode.ENFORCE, ("*.example.com", "mx.example.com"), timedelta(1))
    assert find_mx_pattern(policy, parse_domain("mx.example.com")) == "*.example.com"


_labels = st.text("abz019", min_size=1, max_size=8)
_domains = st.lists(_labels, min_size=1, max_size=4).map(".".join)
_patterns = st.builds(str.__add__, st.sampled_from(["", "*."]), _domains)
_policies = st.builds(
    MtaStsPolicy,
    st.sampled_from(MtaStsMode),
    st.lists(_patterns, min_size=1, max_size=5, unique=True).map(tuple),
    st.integers(0, MAX_AGE_SECONDS).map(lambda seconds: timedelta(seconds=seconds)),
)


@given(_policies)
def test_what_we_write_we_read(policy: MtaStsPolicy) -> None:
    """RFC 8461 §3.2."""
    assert parse_policy(format_policy(policy).encode()) == policy


def test_our_own_policy_is_written_as_the_rfc_shows_it() -> None:
    """RFC 8461 §3.2: ends of lines are CRLF."""
    lines = EXAMPLE.decode().splitlines()
    assert format_policy(POLICY) == "".join(f"{line}\r\n" for line in lines)


@pytest.mark.parametrize(
    "policy",
    [
        MtaStsPolicy(MtaStsMode.ENFORCE, (), timedelta(1)),
        MtaStsPolicy(MtaStsMode.ENFORCE, ("bücher.example",), timedelta(1)),
        MtaStsPolicy(MtaStsMode.ENFORCE, ("a.example\r\nmode: none",), timedelta(1)),
        MtaStsPolicy(MtaStsMode.ENFORCE, ("a.example",), timedelta(days=400)),
        MtaStsPolicy(MtaStsMode.ENFORCE, ("a.example",), timedelta(seconds=-1)),
    ],
)
def test_a_policy_that_no_file_can_have_is_not_written(policy: MtaStsPolicy) -> None:
    """RFC 8461 §3.2."""
    with pytest.raises(ValueError, match="no policy file can say"):
        format_policy(policy)


@given(st.binary() | st.binary().map(EXAMPLE.__add__))
def test_any_octets_give_a_value(octets: bytes) -> None:
    assert isinstance(parse_policy(octets), MtaStsPolicy | PolicyError)
