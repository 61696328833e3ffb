"""What is formatted is what our client reads: directory, problems, headers, renewal information."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.directory import Directory, format_directory, parse_directory
from letterlock.protocols.acme.fields import (
    Fields,
    ObjectError,
    format_moment,
    parse_moment,
    parse_url,
)
from letterlock.protocols.acme.headers import (
    find_links,
    format_link,
    format_retry_after,
    parse_retry_after,
)
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.problems import Problem, format_problem, parse_problem
from letterlock.protocols.acme.renewal_info import (
    CertificateId,
    RenewalInfo,
    format_renewal_info,
    parse_certificate_id,
    parse_renewal_info,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001
    lambda each: each.replace(microsecond=0, tzinfo=UTC)
)


def encode(document: object) -> bytes:
    return json.dumps(document).encode()


def directory(**more: object) -> Directory:
    names = ("new_nonce", "new_account", "new_order", "revoke_cert", "key_change")
    urls = {name: parse_url(f"https://ca.example/{name}") for name in names}
    return Directory(**urls, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        directory(),
        directory(
            renewal_info=parse_url("https://ca.example/r"),
            terms_of_service="https://ca.example/terms",
            website="https://ca.example",
            caa_identities=("ca.example",),
            is_external_account_required=True,
            profiles={"mail": "90 days"},
        ),
    ],
)
def test_a_directory_is_read_as_it_was_meant(value: Directory) -> None:
    """RFC 8555 §7.1.1: no newAuthz where it is not supported, no empty meta."""
    document = format_directory(value)
    assert parse_directory(encode(document)) == value
    assert "newAuthz" not in document
    assert document.get("meta") != {}


def test_a_problem_is_read_as_it_was_meant() -> None:
    """RFC 8555 §6.2 (`algorithms`), §6.7.1, §7.3.3 (`instance`)."""
    problem = Problem(
        "compound",
        "some",
        400,
        subproblems=(
            Problem("caa", "no", 403, Identifier("dns", "a.example")),
            Problem("https://ca.example/own"),
        ),
        instance="https://ca.example/terms",
        algorithms=("ES256",),
    )
    assert parse_problem(400, encode(format_problem(problem))) == problem


@given(MOMENTS)
def test_a_moment_is_read_as_it_was_meant(moment: datetime) -> None:
    """RFC 3339 §5.6."""
    assert parse_moment(format_moment(moment)) == moment


@given(MOMENTS, st.timedeltas(timedelta(seconds=1), timedelta(days=3)), st.booleans())
def test_a_window_is_read_as_it_was_meant(start: datetime, span: timedelta, has_page: bool) -> None:
    """RFC 9773 §4.2."""
    span = timedelta(seconds=int(span.total_seconds()))
    window = RenewalInfo(start, start + span, "https://ca.example/why" if has_page else None)
    assert parse_renewal_info(encode(format_renewal_info(window))) == window


@given(st.timedeltas(timedelta(-1), timedelta(days=100)))
def test_who_waits_as_told_waits_long_enough(wait: timedelta) -> None:
    """RFC 9110 §10.2.3."""
    read = parse_retry_after(format_retry_after(wait).encode(), NOW)
    assert read is not None
    assert max(wait, timedelta(seconds=1)) <= read < max(wait, timedelta()) + timedelta(seconds=2)


def test_a_link_is_read_as_it_was_meant() -> None:
    """RFC 8288 §3."""
    url = "https://ca.example/certificate/a/1"
    value = format_link(url, "alternate").encode()
    assert find_links([value], "alternate") == (parse_url(url),)


def test_a_certificates_name_is_that_of_the_rfc() -> None:
    """RFC 9773 §4.1: the serial is 00 87 65 43 21."""
    text = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    found = parse_certificate_id(text)
    assert found.serial == 0x87654321
    assert found.key_identifier.hex() == "69885b6b87464041e1b37b847ba0ae2cde01c8d4"
    assert str(found) == text


@given(st.binary(min_size=1, max_size=64), st.integers(1, 2**159))
def test_a_certificates_name_is_read_as_it_was_meant(key: bytes, serial: int) -> None:
    """RFC 9773 §4.1."""
    found = CertificateId(key, serial)
    assert parse_certificate_id(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "AAAA", "AAAA.", ".AAAB", "AAAA.AAAB.AAAB", "AAAA.=", "AAAA.AA==", "AAAA.AR"),
        *("AAAA.AA", "AAAA.gQ", "AAAA.AAAB", "A" * 100 + ".AQ", "AAAA." + "fw" + "A" * 38),
        "../../etc/passwd",
    ],
)
def test_what_names_no_certificate_is_refused(text: str) -> None:
    """RFC 9773 §4.1: no padding; a serial as DER has it, so positive and without more zeros."""
    with pytest.raises(ObjectError):
        parse_certificate_id(text)


def test_octets_are_bounded_and_base64url() -> None:
    fields = Fields({"a": "AAAA", "b": "AAAAA", "c": "AA=="}, "object")
    assert fields.octets("a", 3) == bytes(3)
    assert fields.octets("z", 3) is None
    for name in ("b", "c"):
        with pytest.raises(ObjectError, match=name):
            fields.octets(name, 4)
    with pytest.raises(ObjectError, match="at most 2"):
        fields.octets("a", 2)
