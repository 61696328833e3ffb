"""RFC 8460 §4.4, §4.5: JSON becomes a report; what deviates is repaired and named."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt import reading
from letterlock.protocols.tlsrpt.limits import MAX_FAILURES, MAX_POLICIES
from letterlock.protocols.tlsrpt.plain_reading import read_plain
from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.report import Fault, PolicyResult, ReadReport, Report, ReportError
from tests.protocols.tlsrpt.corpus import (
    APPENDIX_B,
    FORMS,
    GOOGLE_2019,
    MICROSOFT,
    POSTFIX,
    SOCKETLABS,
    STS_LINES,
    TLSA,
    Form,
    encode,
    make_document,
    make_failure,
    make_result,
)


def read(document: Any) -> ReadReport:
    return parse_report(encode(document))


def read_policy(**changes: Any) -> tuple[PolicyResult, tuple[str, ...]]:
    return read_result(make_result(**changes))


def read_result(result: dict[str, Any]) -> tuple[PolicyResult, tuple[str, ...]]:
    members = {name: value for name, value in result.items() if value is not ...}
    found = read(make_document(policies=[members]))
    return found.report.policies[0], found.repairs


def places(repairs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line.partition(":")[0] for line in repairs)


def test_a_report_as_the_rfc_has_it_is_read_without_repairs() -> None:
    """RFC 8460 §4.4."""
    octets = encode(make_document())
    found = parse_report(octets)
    assert (found.repairs, found.raw) == ((), octets)
    report = found.report
    assert report.organization_name == "Company-X"
    assert report.report_id == "5065427c-23d3-47ca-b6e0-946ea0e8c4be"
    assert report.contact_info == "sts-reporting@company-x.example"
    assert report.start == datetime(2026, 4, 1, tzinfo=UTC)
    assert report.end == datetime(2026, 4, 1, 23, 59, 59, tzinfo=UTC)
    (result,) = report.policies
    assert (result.type, result.domain) == ("sts", "company-y.example")
    assert result.strings == tuple(STS_LINES)
    assert result.mx_hosts == ("*.mail.company-y.example",)
    assert (result.successful, result.failed) == (5326, 303)
    (failure,) = result.failures
    assert failure.result_type == "certificate-expired"
    assert failure.count == 303
    assert failure.sending_mta_ip == "198.51.100.62"
    assert failure.receiving_mx_hostname == "mx1.mail.company-y.example"
    assert failure.receiving_ip == "2001:db8::1"
    assert failure.receiving_mx_helo is None
    assert failure.additional_information is None
    assert failure.reason_code is None


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_forms_of_real_reporters_are_read_and_their_deviations_named(form: Form) -> None:
    """Rule 192."""
    found = read(form.document)
    assert places(found.repairs) == form.places
    assert all(line.isprintable() for line in found.repairs)


def test_the_example_of_the_rfc_is_read_as_it_is_printed() -> None:
    """RFC 8460 §B: a line end in a string, `mx-host` as a text, zeros in addresses."""
    found = parse_report(APPENDIX_B)
    assert places(found.repairs) == (
        "the JSON",
        "policies[0].policy.mx-host",
        "policies[0].failure-details[0].sending-mta-ip",
        "policies[0].failure-details[1].additional-information",
    )
    (result,) = found.report.policies
    assert result.mx_hosts == ("*.mail.company-y.example",)
    assert [each.count for each in result.failures] == [100, 200, 3]
    assert result.failures[0].sending_mta_ip == "2001:db8:abcd:12::1"
    assert result.failures[1].additional_information == (
        "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
    )


def test_a_missing_count_is_unknown_and_not_zero() -> None:
    """Rule 185."""
    (result,) = read(GOOGLE_2019.document).report.policies
    assert (result.successful, result.failed) == (None, 303)


def test_microsofts_nested_policy_string_is_one_array() -> None:
    sts, tlsa = read(MICROSOFT.document).report.policies
    assert tlsa.strings == (TLSA, TLSA.replace("1f", "2f"))
    assert sts.failures[0].sending_mta_ip is None
    assert sts.failures[0].reason_code == "MX_HOSTS_MISMATCH"


def test_a_time_without_zone_is_utc() -> None:
    """Whatever the zone of this machine."""
    assert read(MICROSOFT.document).report.start == datetime(2026, 4, 1, tzinfo=UTC)


def test_other_names_of_members_are_understood() -> None:
    assert (
        read(SOCKETLABS.document).report.policies[0].failures[0].receiving_mx_hostname
        == "mx1.mail.company-y.example"
    )
    policy, repairs = read_policy(policy={"policy-domain": ..., "Policy_Domain": "x.example"})
    assert policy.domain == "x.example"
    assert places(repairs) == ("policies[0].policy",)


def test_a_name_of_the_rfc_wins_over_another_for_the_same() -> None:
    failure = make_failure(receiving_mx_host_name="other.example")
    policy, repairs = read_policy(failure_details=[failure])
    assert policy.failures[0].receiving_mx_hostname == "mx1.mail.company-y.example"
    assert repairs == ()


def test_a_missing_policy_domain_is_unknown() -> None:
    assert read(POSTFIX.document).report.policies[0].domain is None
    for value in (None, "", 1.5, "no domain"):
        policy, repairs = read_policy(policy={"policy-domain": value})
        assert (policy.domain, places(repairs)) == (None, ("policies[0].policy.policy-domain",))


def test_what_the_rfc_does_not_have_is_passed_over() -> None:
    """Unknown members may be those of its next version."""
    document = make_document(**{"x" * 100: 1, "new": {"policies": 1}})
    assert read(document).repairs == ()


@pytest.mark.parametrize(
    ("policy", "strings", "count"),
    [
        ({"policy-string": "\n".join(STS_LINES)}, tuple(STS_LINES), 1),
        ({"policy-string": json.dumps(STS_LINES)}, tuple(STS_LINES), 2),
        ({"policy-string": [*STS_LINES[:2], STS_LINES[2:]]}, tuple(STS_LINES), 1),
        ({"policy-type": "tlsa", "policy-string": f"{TLSA}; {TLSA}"}, (TLSA, TLSA), 1),
        ({"policy-string": None}, (), 1),
        ({"policy-string": 1}, (), 1),
        ({"policy-string": []}, (), 0),
        ({"policy-string": ["a", 1, None, "", {}]}, ("a", "1"), 3),
        ({"policy-string": ['["[\\"a\\", \\"b\\"]"]']}, ("a", "b"), 1),
        ({"policy-string": ['["a\0b"]']}, ("a\ufffdb",), 2),
        ({"policy-string": ["[not JSON"]}, ("[not JSON",), 0),
        ({"policy-string": ["[1]"]}, ("[1]",), 0),
        ({"policy-string": ["  x:y ", "\n"]}, ("  x:y ", ""), 1),
    ],
)
def test_policy_strings_come_in_several_forms(
    policy: Mapping[str, Any], strings: tuple[str, ...], count: int
) -> None:
    """RFC 8460 §4 (a text with semicolons), §4.5 (an array); what was declared stays as it is;
    rule 186."""
    found, repairs = read_policy(policy=policy)
    assert found.strings == strings
    assert len(repairs) == count


@pytest.mark.parametrize(
    ("hosts", "read_as"),
    [
        ("mx.example", ("mx.example",)),
        (["mx: mx.example"], ("mx.example",)),
        ("[mx.example]", ("mx.example",)),
        (["MX.Example."], ("mx.example",)),
        (["*.b\u00fccher.example"], ("*.xn--bcher-kva.example",)),
        (["not a host"], ("not a host",)),
        ([""], ()),
        (["mx:"], ()),
        (["[mx: ['mx.example']]"], ("mx.example",)),
    ],
)
def test_mx_hosts_come_in_several_forms(hosts: Any, read_as: tuple[str, ...]) -> None:
    """RFC 8460 §4.4: an array, of A-labels; §B: a text; rules 186 and 190."""
    found, repairs = read_policy(policy={"mx-host": hosts})
    assert found.mx_hosts == read_as
    assert repairs


@pytest.mark.parametrize("kind", ["tlsa", "no-policy-found"])
def test_mx_host_may_be_missing_where_the_policy_is_not_mta_sts(kind: str) -> None:
    """RFC 8460 §4.4: it is defined for `sts`."""
    assert read_policy(policy={"policy-type": kind, "mx-host": ...})[1] == ()


@pytest.mark.parametrize(
    ("kind", "read_as", "is_repaired"),
    [
        ("STS", "sts", True),
        ("no_policy_found", "no-policy-found", True),
        ("dane", "dane", True),
        (None, None, True),
        ("", None, True),
        (..., None, True),
    ],
)
def test_types_of_policies_are_kept_as_they_are_meant(
    kind: Any, read_as: str | None, is_repaired: bool
) -> None:
    found, repairs = read_policy(policy={"policy-type": kind})
    assert found.type == read_as
    assert bool(repairs) is is_repaired


def test_an_unknown_result_type_is_kept() -> None:
    """RFC 8460 §4.3: the list is expected to grow; rule 187."""
    found, repairs = read_policy(failure_details=[make_failure(result_type="ech-required")])
    assert found.failures[0].result_type == "ech-required"
    assert places(repairs) == ("policies[0].failure-details[0].result-type",)


@pytest.mark.parametrize(
    ("details", "number", "is_repaired"),
    [
        (None, 0, True),
        (..., 0, True),
        ([], 0, False),
        (make_failure(), 1, True),
        ("none", 0, True),
        ([make_failure(), "x", None], 1, True),
    ],
)
def test_failure_details_come_in_several_forms(
    details: Any, number: int, is_repaired: bool
) -> None:
    found, repairs = read_policy(failure_details=details)
    assert len(found.failures) == number
    assert bool(repairs) is is_repaired


@pytest.mark.parametrize("details", [None, ..., []])
def test_failure_details_may_be_missing_where_nothing_failed(details: Any) -> None:
    summary = {"total-failure-session-count": 0}
    assert read_policy(summary=summary, failure_details=details)[1] == ()


def test_optional_members_of_a_failure_may_be_missing_null_or_empty() -> None:
    """RFC 8460 §B omits more than §4.4 calls optional."""
    failure = {"result-type": "dane-required", "failed-session-count": 1}
    others = {"receiving-ip": None, "receiving-mx-helo": "", "failure-reason-code": None}
    found, repairs = read_policy(failure_details=[failure, failure | others])
    assert found.failures[0] == found.failures[1]
    assert repairs == ()


def test_alike_repairs_are_one_line() -> None:
    failures = [make_failure(failed_session_count="1", sending_mta_ip="x.x.x.x")] * 1000
    found, repairs = read_policy(failure_details=failures)
    place = "policies[0].failure-details[0]"
    assert repairs == (
        f"{place}.failed-session-count: '1': a text: read as a number (1000 times)",
        f"{place}.sending-mta-ip: 'x.x.x.x': not an IP address: unknown (1000 times)",
    )
    assert found.failures[999].count == 1


def test_the_list_of_repairs_has_an_end() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("letterlock.protocols.tlsrpt.repairs.MAX_KINDS", 3)
        repairs = read({"policies": None}).repairs
    assert len(repairs) == 4
    assert repairs[-1] == "and 5 more"


@pytest.mark.parametrize("document", [[make_document()], make_document(policies=make_result())])
def test_one_in_an_array_or_none_where_one_should_be_is_clear(document: Any) -> None:
    found = read(document)
    assert len(found.repairs) == 1
    assert found.report == read(make_document()).report


@pytest.mark.parametrize(
    "policies",
    [[], None, "x", [1], [[]]],
)
def test_a_report_without_policies_says_nothing_and_that_is_named(policies: Any) -> None:
    found = read(make_document(policies=policies))
    assert found.report.policies == ()
    assert "policies: none" in found.repairs


@pytest.mark.parametrize("member", ["policy", "summary"])
@pytest.mark.parametrize("value", [..., None, 1, [], [1]])
def test_an_object_that_is_missing_leaves_its_members_unknown(member: str, value: Any) -> None:
    found, repairs = read_result(make_result() | {member: value})
    assert repairs
    if member == "policy":
        assert (found.type, found.domain, found.strings, found.mx_hosts) == (None, None, (), ())
    else:
        assert (found.successful, found.failed) == (None, None)


def test_an_object_in_an_array_is_the_object() -> None:
    result = make_result()
    found, repairs = read_result(result | {"summary": [result["summary"]]})
    assert found.successful == 5326
    assert len(repairs) == 1


@pytest.mark.parametrize("dates", [..., None, {}, {"start-datetime": 1, "end-datetime": "x"}])
def test_dates_that_are_not_told_are_unknown(dates: Any) -> None:
    found = read(make_document(**{"date-range": dates}))
    assert found.report.end is None
    assert found.repairs


def test_a_range_that_ends_before_it_starts_is_named() -> None:
    dates = {"start-datetime": "2026-04-02T00:00:00Z", "end-datetime": "2026-04-01T00:00:00Z"}
    assert places(read(make_document(**{"date-range": dates})).repairs) == ("date-range",)


@pytest.mark.parametrize("name", ["organization-name", "report-id", "contact-info"])
@pytest.mark.parametrize("value", [..., None, "", [], {}, 1.5, True])
def test_texts_that_are_none_are_unknown(name: str, value: Any) -> None:
    found = read(make_document(**{name: value}))
    assert getattr(found.report, name.replace("-", "_")) is None
    assert places(found.repairs) == (name,)


def test_a_number_as_report_id_is_a_text() -> None:
    assert read(make_document(**{"report-id": 17})).report.report_id == "17"


@pytest.mark.parametrize(
    "octets", [b"1", b"[]", b"null", b'"x"', b"{}", b'{"policy": []}', b"[{}, {}]"]
)
def test_json_that_is_no_report_is_refused_as_that(octets: bytes) -> None:
    with pytest.raises(ReportError) as caught:
        parse_report(octets)
    assert caught.value.fault is Fault.NOT_A_REPORT


def test_names_outside_ascii_are_converted_and_only_so_many() -> None:
    """RFC 8460 §4.4: A-labels; each conversion costs much."""
    results = [make_result({"policy-domain": f"\u00fc{number}.example"}) for number in range(600)]
    found = read(make_document(policies=results)).report.policies
    assert found[0].domain == "xn--0-dha.example"
    assert found[499].domain is not None
    assert found[500].domain is None


def test_too_many_policies_are_refused() -> None:
    with pytest.raises(ReportError) as caught:
        parse_report(b'{"policies": [' + b"{}," * MAX_POLICIES + b"{}]}")
    assert caught.value.fault is Fault.TOO_LARGE


def test_too_many_failures_are_refused() -> None:
    with pytest.raises(ReportError) as caught:
        parse_report(b'{"policies": [{"failure-details": [' + b"{}," * MAX_FAILURES + b"{}]}]}")
    assert caught.value.fault is Fault.TOO_LARGE


def test_ten_thousand_policies_are_read() -> None:
    found = read(make_document(policies=[make_result()] * 10_000))
    assert len(found.report.policies) == 10_000


def test_a_text_has_neither_zeros_nor_halves_of_characters() -> None:
    octets = encode(make_document()).replace(b"Company-X", b"a\\u0000b\\ud800")
    found = parse_report(octets)
    assert found.report.organization_name == "a\ufffdb\ufffd"
    assert places(found.repairs) == ("organization-name",)


# --- The quick way and the other one give the same. ---

TEXTS = st.text(max_size=8) | st.sampled_from(
    (
        *("", "x", "2001:db8::1", "2001:DB8::1", "1:2:3:4:5:6:7:8", "::", "192.0.2.1", "0.0.0.0"),
        *("a.b", "A.b", "*.a.b", "sts", "tlsa", "no-policy-found", "[x", "a\r", "https://x/y"),
        *("a@b", '"\\', "2026-01-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01", "1::0:1"),
        *("::ffff:1.2.3.4", "::ffff:102:304", "0:0::1", "1:0:0:2:0:0:0:3", "a..b", "-a.b"),
        "certificate-expired",
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**54) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Make a good report in which up to three members are changed, left out or added."""
    failures = [make_failure(), make_failure(receiving_mx_helo="x", failure_reason_code="y")]
    document = make_document(
        policies=[
            make_result(failure_details=failures),
            make_result({"policy-type": "tlsa"}),
        ]
    )
    for _ in range(draw(st.integers(0, 3))):
        objects = list(find_objects(document))
        chosen = draw(st.sampled_from(objects))
        if not chosen:
            continue
        name = draw(st.sampled_from(sorted(chosen)))
        change = draw(st.sampled_from(["leave out", "set", "add"]))
        if change == "leave out":
            del chosen[name]
        else:
            chosen[name if change == "set" else draw(TEXTS)] = draw(VALUES)
    return document


def find_objects(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from find_objects(member)
    elif isinstance(value, list):
        for member in value:
            yield from find_objects(member)


def read_slowly(octets: bytes) -> tuple[Report, tuple[str, ...]] | None:
    """Read without the quick way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "read_plain", lambda _: None)
        try:
            found = parse_report(octets)
        except ReportError:
            return None
    return found.report, found.repairs


@given(documents(), st.booleans(), st.sampled_from([None, 1]))
def test_the_quick_way_gives_what_the_other_one_gives_without_repairs(
    document: Any, is_ascii: bool, indent: int | None
) -> None:
    octets = json.dumps(document, ensure_ascii=is_ascii, indent=indent).encode(
        "utf-8", "surrogatepass"
    )
    plain = read_plain(octets)
    if plain is not None:
        assert read_slowly(octets) == (plain, ())


@given(documents())
def test_any_changed_report_gives_a_value_or_the_one_error(document: Any) -> None:
    octets = json.dumps(document).encode()
    try:
        found = parse_report(octets)
    except ReportError:
        return
    assert found.raw == octets
    assert all(line.isprintable() for line in found.repairs)
    for result in found.report.policies:
        for count in (result.successful, result.failed, *(each.count for each in result.failures)):
            assert count is None or 0 <= count < 2**53


def test_a_plain_report_takes_the_quick_way() -> None:
    assert read_plain(encode(make_document())) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"failed-session-count": 303', b'"failed-session-count": 303, "failed-session-count": 1'),
        (b'"report-id"', b'"report-id": "x", "report-id"'),
        (b'"policy-type"', b'"policy-type": "tlsa", "policy-type"'),
    ],
)
def test_a_name_that_stands_twice_with_other_values_is_unknown(old: bytes, new: bytes) -> None:
    """RFC 7493 §2.3: names are unique; which of them is meant is not clear; rule 191."""
    octets = encode(make_document())
    assert old in octets
    found = parse_report(octets.replace(old, new))
    assert places(found.repairs)[0] == "the JSON"
    name = json.loads(b"{" + old + (b"" if b": " in old else b": 1") + b"}").popitem()[0]
    assert any(f"{name}: two different values" in line for line in found.repairs)
