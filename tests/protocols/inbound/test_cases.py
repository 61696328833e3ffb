"""Which host a name means."""

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.inbound.cases import (
    CASES_BY_PLACE,
    PLACE_BY_CASE,
    Case,
    HostNames,
)

NAMES = HostNames(Domain("senders.example"))


@pytest.mark.parametrize("case", list(Case))
def test_names_are_found_again(case: Case) -> None:
    assert NAMES.find_case(NAMES.mail_domain(case)) is case
    assert NAMES.find_case(f"{NAMES.mail_domain(case).upper()}.") is case
    assert NAMES.find_case_of_host(NAMES.host(case)) is case
    assert case in CASES_BY_PLACE[PLACE_BY_CASE[case]]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "good",
        "senders.example",
        "good.senders.example.org",
        "xgood.senders.example",
        "mx.good.senders.example",
        "other.senders.example",
        "good.senders.example..",
        "[192.0.2.1]",
    ],
)
def test_other_domains_are_no_case(name: str) -> None:
    assert NAMES.find_case(name) is None


@pytest.mark.parametrize(
    "name", [None, "", "good.senders.example", "mx.good.example", "mx.other.senders.example"]
)
def test_other_hosts_are_no_case(name: str | None) -> None:
    assert NAMES.find_case_of_host(name) is None


def test_the_certificate_has_names_of_good_hosts_only() -> None:
    assert NAMES.certified == (
        "mx.good.senders.example",
        "mx.bad-tlsa.senders.example",
        "mta-sts.sts.senders.example",
        "senders.example",
    )
    assert NAMES.uncertified == ("mx.wrong-name.senders.example", "mx.sts.senders.example")
