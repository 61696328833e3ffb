"""What is asked of a host before a password is said there."""

from typing import Any

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode
from letterlock.protocols.policy.decide import decide
from letterlock.protocols.policy.facts import (
    NOTHING_PUBLISHED,
    MtaStsFacts,
    Published,
    TlsaFacts,
    TlsaStatus,
)
from letterlock.protocols.policy.password_demand import ask_for_tls, protect
from letterlock.protocols.policy.requirement import (
    HostUnusable,
    Level,
    Requirement,
    Source,
)
from letterlock.protocols.policy.table import PolicyTable, TableEntry
from tests.protocols.policy.situations import policy_of

HOP, MX = Domain("example.com"), "mx1.host.example"
TLSA = TlsaFacts(TlsaStatus.USABLE, Domain(MX), (TlsaRecord(3, 1, 1, b"x" * 32),))


def require(
    level: Level,
    published: Published = NOTHING_PUBLISHED,
    *,
    host: str = MX,
    is_known: bool = False,
    **entry: Any,
) -> Requirement:
    default = TableEntry("", level, "tls_policy:1", **entry)
    table = PolicyTable({}, default)
    decision = decide(HOP, HOP, host, table, published)
    protected = protect(decision, HOP, HOP, host, table, is_host_known=is_known)
    assert isinstance(protected, Requirement)
    return protected


@pytest.mark.parametrize("level", [Level.NONE, Level.MAY, Level.ENCRYPT], ids=str)
@pytest.mark.parametrize("is_known", [True, False])
def test_less_than_proof_becomes_proof(level: Level, is_known: bool) -> None:
    """RFC 4954 §14; RFC 9325 §3.1.1: and no old TLS."""
    found = require(level, is_known=is_known, min_version="TLSv1", ciphers="ALL")
    assert (found.level, found.source) == (Level.SECURE, Source.PASSWORD)
    assert found.names == ((MX,) if is_known else (HOP, f".{HOP}"))
    assert found.min_version == "TLSv1.2"
    assert "a password is said only to a host that proves itself" in found.reason


@pytest.mark.parametrize(
    ("level", "entry", "is_known", "is_kept"),
    [
        (Level.VERIFY, {}, True, True),
        (Level.VERIFY, {}, False, False),
        (Level.VERIFY, {"match": (MX,)}, False, True),
        (Level.SECURE, {}, False, True),
        (Level.SECURE, {"match": ("hostname",)}, False, False),
        (Level.FINGERPRINT, {"fingerprints": ("sha256:00",)}, False, True),
    ],
)
def test_proof_is_enough_where_it_rests_on_what_is_known(
    level: Level, entry: dict[str, Any], is_known: bool, is_kept: bool
) -> None:
    """RFC 4954 §14: not on an MX record that anybody may have written."""
    found = require(level, is_known=is_known, **entry)
    assert (found.level is level and found.source is Source.DEFAULT) is is_kept
    assert (found.names == (HOP, f".{HOP}")) or is_kept


def test_what_the_domain_enforces_says_which_hosts_are_its() -> None:
    facts = MtaStsFacts(HOP, policy=policy_of(MtaStsMode.ENFORCE, MX))
    found = require(Level.MAY, Published(mta_sts=facts, mx_security=Security.INSECURE))
    assert (found.level, found.source, found.names) == (Level.VERIFY, Source.MTA_STS, (MX,))


def test_dane_behind_an_insecure_mx_proves_the_host_only() -> None:
    """RFC 7672 §2.2.1: so the next hop's name is asked for beside it."""
    published = Published(tlsa=TLSA, mx_security=Security.INSECURE)
    found = require(Level.MAY, published)
    assert (found.level, found.names) == (Level.SECURE, (HOP, f".{HOP}"))
    assert found.dane is not None
    assert found.sources == (Source.PASSWORD, Source.DANE)
    secure = require(Level.MAY, Published(tlsa=TLSA, mx_security=Security.SECURE), is_known=True)
    assert secure.level is Level.DANE


@pytest.mark.parametrize(
    ("level", "is_raised"),
    [(Level.NONE, True), (Level.MAY, True), (Level.ENCRYPT, False), (Level.VERIFY, False)],
)
@pytest.mark.parametrize("is_password", [True, False])
def test_tls_alone_is_asked_for_where_none_is(
    level: Level, is_raised: bool, is_password: bool
) -> None:
    """RFC 8314 §3.3: a port with TLS from the first octet has nothing else."""
    table = PolicyTable({}, TableEntry("", level, "tls_policy:1"))
    decision = decide(HOP, HOP, MX, table)
    found = ask_for_tls(decision, is_password=is_password)
    assert isinstance(found, Requirement)
    assert (found.level is Level.ENCRYPT) is (is_raised or level is Level.ENCRYPT)
    assert (found == decision) is not is_raised
    assert (found.source is Source.PASSWORD) is (is_raised and is_password)


def test_what_is_no_requirement_stays() -> None:
    unusable = HostUnusable(Source.DANE, "no")
    table = PolicyTable({}, TableEntry("", Level.MAY, "tls_policy:1"))
    assert protect(unusable, HOP, HOP, MX, table, is_host_known=True) is unusable
    assert ask_for_tls(unusable, is_password=True) is unusable
