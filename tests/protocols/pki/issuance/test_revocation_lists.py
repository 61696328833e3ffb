"""CRLs: what stands in each shard, for how long, and that our own reader reads the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.protocols.pki.crl import (
    CrlUnusable,
    Revocation,
    Revocations,
    find_crl_urls,
    read_crl,
)
from letterlock.protocols.pki.issuance.issuers import SERIAL_RANDOM_OCTETS, find_shard, make_serial
from letterlock.protocols.pki.issuance.revocation_lists import (
    SUBSCRIBER_REASONS,
    CrlPeriod,
    Reason,
    Revoked,
    draft_shard,
    find_reason,
    keep_listed,
    next_number,
    revise,
)
from letterlock.protocols.pki.issuance.signing import sign_draft
from tests.fakes import START
from tests.protocols.pki.issuance.authority import ISSUER, ROOT, SHARDS, issue, serial

DAY = timedelta(days=1)
PERIOD = CrlPeriod(7, START, START + 7 * DAY)


def make(
    shard: int, revoked: tuple[Revoked, ...], period: CrlPeriod = PERIOD
) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(
        sign_draft(draft_shard(ISSUER, shard, revoked, period), ISSUER.signer)
    )


def shard_of(number: int) -> int:
    shard = find_shard(number)
    assert shard is not None
    return shard


def revoked_at(number: int, **parts: object) -> Revoked:
    usual: dict[str, object] = {"at": START - DAY, "not_after": START + 30 * DAY}
    return Revoked(number, **(usual | parts))  # type: ignore[arg-type]  # by name


OURS = tuple(make_serial(bytes([2, *seed.to_bytes(16)]), SHARDS) for seed in (5, 3, 9, 1))


def test_an_empty_shard_has_no_list_and_says_where_it_is() -> None:
    """Rule 216: RFC 5280 §5.1.2.6, §5.2.5; Baseline Requirements 7.2.2.1."""
    crl = make(3, ())
    assert len(crl) == 0
    assert b"\x30\x00" not in crl.tbs_certlist_bytes
    assert {each.oid._name: each.critical for each in crl.extensions} == {
        "authorityKeyIdentifier": False,
        "cRLNumber": False,
        "issuingDistributionPoint": True,
    }
    point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    assert point.full_name == [x509.UniformResourceIdentifier("http://ca.example.net/crl/3.crl")]
    assert [point.only_contains_user_certs, point.indirect_crl] == [True, False]
    assert crl.last_update_utc == START
    assert crl.next_update_utc == START + 7 * DAY
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert crl.is_signature_valid(ISSUER.key)


def test_entries_are_sorted_and_have_their_reasons() -> None:
    """Rules 214 and 215: RFC 5280 §5.3.1, §5.3.2; Baseline Requirements 7.2.2."""
    since = START - 20 * DAY
    crl = make(
        3,
        (
            revoked_at(OURS[0], reason=Reason.KEY_COMPROMISE, invalid_since=since),
            revoked_at(OURS[1]),
            revoked_at(OURS[2], reason=Reason.PRIVILEGE_WITHDRAWN),
        ),
    )
    assert [each.serial_number for each in crl] == sorted(OURS[:3])
    found = {
        each.serial_number: [(part.value, part.critical) for part in each.extensions]
        for each in crl
    }
    assert found == {
        OURS[0]: [
            (x509.CRLReason(x509.ReasonFlags.key_compromise), False),
            (x509.InvalidityDate(since.replace(tzinfo=None)), False),
        ],
        OURS[1]: [],
        OURS[2]: [(x509.CRLReason(x509.ReasonFlags.privilege_withdrawn), False)],
    }


reasons = st.sampled_from(list(Reason))
entries = st.dictionaries(
    st.binary(min_size=SERIAL_RANDOM_OCTETS, max_size=SERIAL_RANDOM_OCTETS),
    st.tuples(reasons, st.integers(0, 10**8), st.none() | st.integers(0, 10**9)),
    max_size=12,
)
WORDS = {0: "unspecified", 1: "keyCompromise", 3: "affiliationChanged", 4: "superseded"} | {
    5: "cessationOfOperation",
    9: "privilegeWithdrawn",
}


@settings(max_examples=25)
@given(entries)
def test_the_shards_together_have_each_revocation_once_where_its_certificate_points(
    made: dict[bytes, tuple[Reason, int, int | None]],
) -> None:
    """Rule 217: Baseline Requirements 4.9.7; our own reader gives what was written."""
    all_revoked = {}
    for random, (reason, ago, since) in made.items():
        number = make_serial(random, SHARDS)
        moment = START - timedelta(seconds=ago)
        lost = None if since is None else START - timedelta(seconds=since)
        all_revoked[number] = Revoked(number, moment, START, reason, lost)
    read: dict[int, Revocation] = {}
    for shard in {shard_of(number) for number in all_revoked}:
        mine = [each for number, each in all_revoked.items() if shard_of(number) == shard]
        der = sign_draft(draft_shard(ISSUER, shard, mine, PERIOD), ISSUER.signer)
        certificate = _certificate_in(shard)
        (url,) = find_crl_urls(certificate)
        found = read_crl(der, url, ISSUER.certificate, all_revoked)
        assert isinstance(found, Revocations)
        assert found.ends == PERIOD.next_update
        assert not read.keys() & found.found.keys()
        read |= found.found
    assert read == {
        number: Revocation(each.at, WORDS[each.reason]) for number, each in all_revoked.items()
    }


_CERTIFICATES: dict[int, x509.Certificate] = {}


def _certificate_in(shard: int) -> x509.Certificate:
    """Issue until the shard comes up: its certificate says where its CRL is."""
    seed = len(_CERTIFICATES)
    while shard not in _CERTIFICATES:
        if shard_of(serial(seed)) == shard:
            _CERTIFICATES[shard] = issue(["mx.example.com"], seed=seed)
        seed += 1
    return _CERTIFICATES[shard]


def test_a_crl_of_another_shard_says_nothing() -> None:
    der = sign_draft(draft_shard(ISSUER, 4, (), PERIOD), ISSUER.signer)
    (url,) = find_crl_urls(_certificate_in(3))
    assert read_crl(der, url, ISSUER.certificate, ()) == CrlUnusable(
        "the CRL is one for another place"
    )


def test_a_root_lists_authorities() -> None:
    (url,) = find_crl_urls(ISSUER.certificate)
    entry = revoked_at(ISSUER.certificate.serial_number, reason=Reason.SUPERSEDED)
    draft = draft_shard(ROOT, 1, (entry,), PERIOD, is_of_authorities=True)
    crl = x509.load_der_x509_crl(sign_draft(draft, ROOT.signer))
    point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    assert point.full_name == [x509.UniformResourceIdentifier(url.text)]
    assert [point.only_contains_ca_certs, point.only_contains_user_certs] == [True, False]


@pytest.mark.parametrize("numbers", [(OURS[0], OURS[0]), (serial(0), OURS[0]), (17,)])
def test_a_revocation_that_nobody_would_see_is_a_fault_of_ours(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not one of shard|revoked twice"):
        draft_shard(ISSUER, 3, [revoked_at(number) for number in numbers], PERIOD)


@pytest.mark.parametrize(
    ("number", "days"), [(0, 7), (-1, 7), (2**159, 7), (1, 0), (1, -1), (1, 365.1)]
)
def test_a_period_keeps_to_its_bounds(number: int, days: float) -> None:
    """Baseline Requirements 7.2: a year at most, and a number of 20 octets."""
    with pytest.raises(ValueError, match="a CRL"):
        CrlPeriod(number, START, START + timedelta(days=days))
    assert CrlPeriod(2**159 - 1, START, START + timedelta(days=365)).number == 2**159 - 1


def test_a_list_of_servers_certificates_counts_for_ten_days_and_one_of_authorities_for_a_year() -> (
    None
):
    """Baseline Requirements 7.2"""
    draft_shard(ISSUER, 3, (), CrlPeriod(1, START, START + 10 * DAY))
    longer = CrlPeriod(1, START, START + 10.1 * DAY)
    with pytest.raises(ValueError, match="ten days at most"):
        draft_shard(ISSUER, 3, (), longer)
    draft = draft_shard(ISSUER, 3, (), longer, is_of_authorities=True)
    assert x509.load_der_x509_crl(draft.der).next_update_utc == longer.next_update


moments = st.datetimes(datetime(2020, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


@settings(max_examples=30)
@given(st.lists(moments, min_size=1, max_size=20))
def test_numbers_only_grow_whatever_the_clock_does(clock: list[datetime]) -> None:
    """Rule 218: RFC 5280 §5.2.3."""
    last = None
    for now in clock:
        number = next_number(last, now)
        assert number > (last or 0)
        last = number


def test_numbers_are_not_used_twice_after_a_restore() -> None:
    """The backup is a day old, and ten CRLs were issued since."""
    at_backup = next_number(None, START)
    last = at_backup
    for hour in range(10):
        last = next_number(last, START + timedelta(hours=hour))
    assert next_number(at_backup, START + DAY) > last


@settings(max_examples=50)
@given(moments, st.lists(moments, max_size=6))
def test_an_entry_stays_until_a_crl_came_after_the_certificates_end(
    end: datetime, updates: list[datetime]
) -> None:
    """Rule 219: RFC 5280 §3.3."""
    entry = revoked_at(OURS[0], not_after=end)
    last = None
    was_listed_after_end = False
    for update in sorted(updates):
        listed = keep_listed([entry], last)
        assert listed == (entry,) or was_listed_after_end
        was_listed_after_end = was_listed_after_end or (bool(listed) and update > end)
        last = update


def test_a_key_that_turns_out_to_be_lost_changes_the_reason_and_the_date() -> None:
    """Rule 220: Baseline Requirements 7.2.2."""
    entry = revoked_at(OURS[0], reason=Reason.SUPERSEDED)
    since = entry.at - DAY
    compromised = revise(entry, Reason.KEY_COMPROMISE, since)
    assert compromised == replace(
        entry, reason=Reason.KEY_COMPROMISE, at=since, invalid_since=since
    )
    assert revise(entry, Reason.KEY_COMPROMISE, entry.at + DAY).at == entry.at
    assert revise(entry, Reason.KEY_COMPROMISE, None).reason is Reason.KEY_COMPROMISE
    assert revise(entry, Reason.CESSATION_OF_OPERATION, None) is entry
    assert revise(compromised, Reason.UNSPECIFIED, None) is compromised


def test_what_a_subscriber_can_give_as_a_reason() -> None:
    """Rule 215: 2 and 10 are for authorities, 6 and 8 for holds, 7 is not used."""
    assert [n for n in range(-1, 12) if find_reason(n) is not None] == [0, 1, 3, 4, 5]
    assert frozenset({0, 1, 3, 4, 5}) == SUBSCRIBER_REASONS
