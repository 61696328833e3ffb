"""Counts go out in the words of tlsrpt-fetcher, and are read as what they were."""

import json

import pytest

from letterlock.protocols.tlsrpt import fetcher
from letterlock.protocols.tlsrpt.fetcher import (
    MAX_OCTETS,
    FetcherError,
    format_details,
    format_domain_list,
    parse_details,
    parse_domain_list,
)
from tests.protocols.tlsrpt.datagrams import FETCHED_LIST, FETCHED_RESULTS

LIST = """\
TLSRPT FETCHER v1devel-c domain list
2026-03-02 00:05:06
2026-03-01
example.net
example.org
.
"""


def test_a_list_of_domains_is_written_as_tlsrpt_reportd_reads_it() -> None:
    """Rule 242."""
    assert format_domain_list(FETCHED_LIST) == LIST
    assert parse_domain_list(LIST.encode()) == FETCHED_LIST


def test_details_are_written_as_tlsrpt_reportd_reads_them() -> None:
    """Policies and failures are JSON texts, as libtlsrpt writes them; rule 242."""
    policy = (
        '{"policy-type":2,"policy-domain":"example.net","policy-string":["version: STSv1",'
        '"mode: enforce"],"mx-host":["*.example.net"]}'
    )
    written = format_details("example.net", [FETCHED_RESULTS])
    failures = {'{"c":204,"s":"192.0.2.1"}': 2}
    counts = {"cntrtotal": 7, "cntrfailure": 2, "failures": failures}
    assert json.loads(written) == {
        "d": "example.net",
        "policies": {FETCHED_RESULTS.record: {policy: counts}},
    }
    assert parse_details(written.encode()) == (FETCHED_RESULTS,)


def test_a_domain_without_sessions_has_no_policies() -> None:
    written = format_details("example.net", [])
    assert json.loads(written) == {"d": "example.net", "policies": {}}
    assert parse_details(written.encode()) == ()


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "the first line is ''"),
        (b"TLSRPT FETCHER v2\n", "not 'TLSRPT FETCHER v1devel-c"),
        (LIST[:-2].encode(), "has no end"),
        (LIST.replace("2026-03-01\nexample.net\nexample.org\n", "").encode(), "lacks its time"),
        (LIST.replace("00:05", "0:5:").encode(), "is no time"),
        (LIST.replace("2026-03-01", "yesterday").encode(), "no day"),
        (LIST.replace("example.net", "a..b").encode(), "a domain: "),
        (b" " * (MAX_OCTETS + 1), "more than"),
    ],
)
def test_a_list_that_is_none_is_one_error(octets: bytes, told: str) -> None:
    with pytest.raises(FetcherError, match=told):
        parse_domain_list(octets)


def make_details(policy: str, counts: object, domain: str = "a.example") -> bytes:
    return json.dumps({"d": domain, "policies": {"v=TLSRPTv1": {policy: counts}}}).encode()


COUNTS = {"cntrtotal": 1, "cntrfailure": 0, "failures": {}}
PLAIN = '{"policy-type":9}'


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "no details"),
        (b"[]", "no details"),
        (make_details("no", COUNTS), "no details"),
        (make_details('{"policy-type":7}', COUNTS), "`policy-type` 7"),
        (make_details(PLAIN, COUNTS, "a..b"), "a domain: "),
        (make_details(PLAIN, {**COUNTS, "cntrfailure": 2}), "more sessions failed"),
        (make_details(PLAIN, {**COUNTS, "cntrtotal": -1}), "no details"),
        (make_details(PLAIN, {**COUNTS, "cntrtotal": 2**60}), "no details"),
        (make_details(PLAIN, {**COUNTS, "failures": {"no": 1}}), "no details"),
        (b" " * (MAX_OCTETS + 1), "more than"),
    ],
)
def test_details_that_are_none_are_one_error(octets: bytes, told: str) -> None:
    with pytest.raises(FetcherError, match=told) as raised:
        parse_details(octets)
    assert str(raised.value).isprintable()


def test_there_are_not_too_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MAX_MEMBERS", 0)
    with pytest.raises(FetcherError, match="more than 0 policies"):
        parse_details(make_details(PLAIN, COUNTS))
