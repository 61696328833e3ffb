"""One answer for all hosts of a destination: weaker for none of them than what was decided for it.

RFC 7672 §2.2, RFC 8461 §2, §5. How a Postfix acts on an answer is said here once more, as a model
of it; tests/interop has the real ones do it.
"""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy, find_mx_pattern
from letterlock.protocols.policy.decide import decide
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.postfix_policy import PostfixPolicy, format_policy
from letterlock.protocols.policy.postfix_reply import (
    MAX_PATTERNS,
    Destination,
    HostDecision,
    NoPolicy,
    PostfixReply,
    Undecided,
    choose_reply,
)
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import HostUnusable, Level, Requirement, Source
from letterlock.protocols.policy.table import PolicyTable, TableEntry
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.protocols.policy.situations import (
    BAD,
    DEFAULT,
    DEFAULT_LEVELS,
    DOMAIN,
    GOOD,
    TLSA,
    policy_of,
)

OLD, NEW, ENFORCING = ((3, 7, 0), (3, 10, 0), (3, 10, 5))
POSTFIX = AskingPostfix(OLD)
LISTED = ("mx1.example.com", "mx2.example.com", "mx3.example.com")
STRANGER = "mx.example.net"
ENFORCE = MtaStsFacts(DOMAIN, policy=policy_of(MtaStsMode.ENFORCE, "*.example.com"))
TEXT = "version: STSv1\r\nmode: enforce\r\nmx: *.example.com\r\nmax_age: 604800\r\n"
USABLE, UNUSABLE, NONE, FAILED = "usable", "all unusable", "none", "lookup failed"


@dataclass(frozen=True)
class Host:
    """A host, by its name and the state of its TLSA records."""

    name: str
    tlsa: str


def destination_of(
    *hosts: Host,
    sts: MtaStsFacts | None = None,
    mx: Security = Security.SECURE,
    default: TableEntry = DEFAULT,
) -> Destination:
    """Decide for each host as delivery does."""
    table = PolicyTable({}, default)
    decisions = []
    for host in hosts:
        facts = replace(TLSA[host.tlsa], base_domain=Domain(host.name))
        published = Published(facts, sts, mx)
        decision = decide(DOMAIN, DOMAIN, host.name, table, published)
        assert isinstance(decision, Requirement | HostUnusable)
        decisions.append(HostDecision(host.name, decision))
    return Destination(tuple(decisions), sts, default, mx is Security.SECURE)


def act(reply: PostfixReply, host: Host, destination: Destination, postfix: AskingPostfix) -> str:
    """Say what a Postfix asks of a host then: out, any, tls, dane, pkix, or fingerprint."""
    if isinstance(reply, NoPolicy):
        return "any"
    if isinstance(reply, Undecided):
        return "out"
    sts = reply.sts if postfix.knows_policy_attributes else None
    if sts is not None:
        patterns = MtaStsPolicy(MtaStsMode.ENFORCE, sts.mx, ENFORCE.policy.max_age)  # type: ignore[union-attr] # it has one
        is_listed = find_mx_pattern(patterns, Domain(host.name)) is not None
        if sts.failure is not None or (postfix.enforces_mx_patterns and not is_listed):
            return "out"
    if reply.level in (Level.DANE, Level.DANE_ONLY):
        return _act_by_dane(reply.level, host, destination, postfix)
    return _ACTS[reply.level]


_ACTS = {
    Level.NONE: "any",
    Level.MAY: "any",
    Level.ENCRYPT: "tls",
    Level.FINGERPRINT: "fingerprint",
    Level.VERIFY: "pkix",
    Level.SECURE: "pkix",
}


def _act_by_dane(level: Level, host: Host, destination: Destination, postfix: AskingPostfix) -> str:
    is_mandatory = level is Level.DANE_ONLY
    if not postfix.has_dnssec:
        return "out" if is_mandatory else "any"
    if host.tlsa == FAILED or (is_mandatory and not destination.is_mx_secure):
        return "out"
    if host.tlsa == USABLE:
        return "dane"
    if is_mandatory:
        return "out"
    return "tls" if host.tlsa == UNUSABLE else "any"


any_host = st.builds(Host, st.sampled_from([*LISTED, STRANGER]), st.sampled_from(sorted(TLSA)))


@settings(max_examples=600)
@given(
    hosts=st.lists(any_host, min_size=1, max_size=3, unique_by=lambda host: host.name),
    sts=st.sampled_from([None, ENFORCE]),
    mx=st.sampled_from([Security.SECURE, Security.INSECURE]),
    level=st.sampled_from(DEFAULT_LEVELS),
    version=st.sampled_from([OLD, NEW, ENFORCING]),
    has_dnssec=st.booleans(),
)
def test_no_answer_is_weaker_for_a_host_than_what_was_decided_for_it(
    hosts: list[Host],
    sts: MtaStsFacts | None,
    mx: Security,
    level: Level,
    version: tuple[int, int, int],
    has_dnssec: bool,
) -> None:
    """RFC 7672 §2.2, RFC 8461 §2, §5; rules 29, 32, 33, 34, 78, 152, 153."""
    postfix = AskingPostfix(version, has_dnssec)
    default = TableEntry("", level, "policy.default_level")
    destination = destination_of(*hosts, sts=sts, mx=mx, default=default)
    reply = choose_reply(destination, postfix)
    for host, decided in zip(hosts, destination.hosts, strict=True):
        asked = act(reply, host, destination, postfix)
        assert is_enough(asked, reply, decided, destination), (asked, reply, decided.decision)
    if len(hosts) == 1 and has_dnssec and isinstance(destination.hosts[0].decision, Requirement):
        # And no stricter than it must be: mail goes.
        assert act(reply, hosts[0], destination, postfix) != "out", reply


def is_enough(
    asked: str, reply: PostfixReply, host: HostDecision, destination: Destination
) -> bool:
    if asked == "out":
        return True
    match host.decision:
        case HostUnusable(source=Source.MTA_STS):
            # By a listed host's certificate it is a listed host; by DANE it is the domain's.
            assert isinstance(reply, PostfixPolicy)
            is_other = asked == "pkix" and host.name not in reply.match
            return is_other or (asked == "dane" and destination.is_mx_secure)
        case HostUnusable():
            return False
        case Requirement() as requirement:
            return _is_enough_for(asked, reply, host.name, requirement, destination)


def _is_enough_for(
    asked: str, reply: PostfixReply, name: str, requirement: Requirement, destination: Destination
) -> bool:
    dane, sts = requirement.dane, requirement.mta_sts
    if sts is not None and sts.is_enforced:
        assert isinstance(reply, PostfixPolicy)
        if dane is not None and destination.is_mx_secure:
            # RFC 8461 §2: whatever its certificate is worth, it has to match the records.
            return asked == "dane"
        return asked == "pkix" and name in reply.match
    if dane is not None and destination.is_mx_secure:
        return asked in ("dane", "fingerprint")
    if dane is not None and destination.default.level in (Level.NONE, Level.MAY, Level.DANE):
        return asked in ("dane", "fingerprint")
    # RFC 7672 §2.2.1: behind an insecure MX they prove nothing of the domain.
    if requirement.level.is_authenticated and dane is None:
        return asked in ("dane", "pkix")
    return asked != "any" if requirement.level.is_tls_required else True


MX1, MX2, MX3 = LISTED
SECURE, INSECURE = Security.SECURE, Security.INSECURE


def told(destination: Destination, postfix: AskingPostfix = POSTFIX) -> str:
    """Give what Postfix is told, in its own words."""
    reply = choose_reply(destination, postfix)
    match reply:
        case PostfixPolicy():
            return format_policy(reply, postfix)
        case NoPolicy():
            return "NOTFOUND"
        case _:
            return "TEMP"


@pytest.mark.parametrize(
    ("hosts", "sts", "mx", "text"),
    [
        ([NONE], None, SECURE, "NOTFOUND"),
        ([NONE, "insecure"], None, INSECURE, "NOTFOUND"),
        ([USABLE], None, SECURE, "dane-only"),
        ([USABLE, USABLE], None, SECURE, "dane-only"),
        ([USABLE, NONE], None, SECURE, "dane"),
        ([USABLE, UNUSABLE], None, SECURE, "dane"),
        ([UNUSABLE], None, SECURE, "dane"),
        ([UNUSABLE, NONE], None, SECURE, "dane"),
        ([USABLE], None, INSECURE, "dane"),
        ([FAILED], None, SECURE, "dane"),
        ([FAILED, USABLE], None, SECURE, "dane"),
        ([FAILED, NONE], None, SECURE, "dane"),
        ([NONE], ENFORCE, INSECURE, f"secure match={MX1} servername=hostname"),
        ([NONE, NONE], ENFORCE, INSECURE, f"secure match={MX1}:{MX2} servername=hostname"),
        ([UNUSABLE], ENFORCE, SECURE, f"secure match={MX1} servername=hostname"),
        ([USABLE], ENFORCE, INSECURE, f"secure match={MX1} servername=hostname"),
        ([USABLE], ENFORCE, SECURE, "dane-only"),
        ([USABLE, NONE], ENFORCE, SECURE, "dane-only"),
        ([FAILED, USABLE], ENFORCE, SECURE, "dane-only"),
        ([FAILED, NONE], ENFORCE, SECURE, "dane-only"),
    ],
)
def test_the_best_single_level(
    hosts: list[str], sts: MtaStsFacts | None, mx: Security, text: str
) -> None:
    """RFC 7672 §2.2, RFC 8461 §2: where no level does justice to all, some hosts get no mail."""
    found = [Host(name, tlsa) for name, tlsa in zip(LISTED, hosts, strict=False)]
    assert told(destination_of(*found, sts=sts, mx=mx)) == text


@pytest.mark.parametrize(
    ("hosts", "sts", "text"),
    [
        ([NONE], None, "NOTFOUND"),
        ([USABLE], None, f"fingerprint match={':'.join(['00'] * 32)} servername=hostname"),
        ([UNUSABLE], None, "encrypt servername=hostname"),
        ([FAILED], None, "TEMP"),
        ([FAILED, USABLE], None, "TEMP"),
        ([NONE], ENFORCE, f"secure match={MX1} servername=hostname"),
        ([USABLE], ENFORCE, "TEMP"),
        ([FAILED, NONE], ENFORCE, "TEMP"),
    ],
)
def test_a_postfix_without_dnssec_is_told_what_it_can_prove(
    hosts: list[str], sts: MtaStsFacts | None, text: str
) -> None:
    """At `dane` it would send in clear."""
    found = [Host(name, tlsa) for name, tlsa in zip(LISTED, hosts, strict=False)]
    assert told(destination_of(*found, sts=sts), AskingPostfix(OLD, has_dnssec=False)) == text


@pytest.mark.parametrize(
    "records",
    [
        # A trust anchor is not the certificate that the host shows.
        (TlsaRecord(2, 1, 1, bytes(32)), BAD),
        # Beside a stronger digest this one does not count.
        (GOOD, TlsaRecord(3, 1, 2, bytes(64))),
        # These cannot be used.
        (
            TlsaRecord(3, 1, 1, b"short"),
            TlsaRecord(3, 9, 1, bytes(32)),
            TlsaRecord(2, 0, 1, bytes(32)),
        ),
    ],
)
def test_records_that_are_no_digests_keep_mail_waiting_without_dnssec(
    records: tuple[TlsaRecord, ...],
) -> None:
    """RFC 7671 §5.2, §9"""
    destination = destination_of(Host(MX1, USABLE))
    (host,) = destination.hosts
    assert isinstance(host.decision, Requirement)
    assert host.decision.dane is not None
    decision = replace(host.decision, dane=replace(host.decision.dane, records=records))
    changed = replace(destination, hosts=(HostDecision(MX1, decision),))
    assert told(changed, AskingPostfix(OLD, has_dnssec=False)) == "TEMP"
    assert told(changed) == "dane-only"


@pytest.mark.parametrize("mode", [MtaStsMode.TESTING, MtaStsMode.NONE])
def test_a_policy_that_does_not_enforce_is_no_demand(mode: MtaStsMode) -> None:
    """RFC 8461 §5"""
    facts = MtaStsFacts(DOMAIN, policy=policy_of(mode, "*.example.com"))
    assert told(destination_of(Host(MX1, NONE), sts=facts)) == "NOTFOUND"


def test_a_policy_that_could_not_be_fetched_is_as_none() -> None:
    """RFC 8461 §3.3; rule 72"""
    facts = MtaStsFacts(DOMAIN, error="404", result_type=ResultType.STS_POLICY_FETCH_ERROR)
    assert told(destination_of(Host(MX1, NONE), sts=facts)) == "NOTFOUND"
    assert told(destination_of(Host(MX1, USABLE), sts=facts)) == "dane-only"


def test_a_cached_policy_holds_though_the_fetch_failed() -> None:
    """RFC 8461 §3.3; rule 73. And it is not said to have failed: it would stop all mail."""
    failed = ResultType.STS_POLICY_FETCH_ERROR
    facts = replace(ENFORCE, error="404", result_type=failed)
    text = told(destination_of(Host(MX1, NONE), sts=facts), AskingPostfix(ENFORCING))
    assert text.startswith(f"secure match={MX1} ")
    assert "policy_failure" not in text


def test_only_hosts_that_the_policy_lists_are_matched() -> None:
    """RFC 8461 §4.1: by their own names, so that no pattern lets deeper ones in."""
    destination = destination_of(Host(MX1, NONE), Host(STRANGER, NONE), sts=ENFORCE)
    assert told(destination) == f"secure match={MX1} servername=hostname"


def test_postfix_from_3_10_on_is_told_of_the_policy() -> None:
    """For its reports (RFC 8460 §4.4), and from 3.10.5 on for hosts that no pattern lists."""
    sts = replace(ENFORCE, policy_text=TEXT)
    text = (
        f"secure match={MX1} servername=hostname policy_type=sts policy_domain=example.com"
        " { policy_string = version: STSv1 } { policy_string = mode: enforce }"
        " { policy_string = mx: *.example.com } { policy_string = max_age: 604800 }"
        " mx_host_pattern=*.example.com"
    )
    for version in (NEW, ENFORCING, (3, 11, 0), (4, 0, 0)):
        assert told(destination_of(Host(MX1, NONE), sts=sts), AskingPostfix(version)) == text
    assert " policy" not in told(destination_of(Host(MX1, NONE), sts=sts), AskingPostfix((3, 9, 9)))


def test_with_dane_postfix_is_told_of_the_policy_too() -> None:
    """From 3.10.5 on it leaves out hosts that the policy does not list at any level."""
    destination = destination_of(Host(MX1, USABLE), Host(STRANGER, USABLE), sts=ENFORCE)
    assert told(destination) == "dane-only"
    assert told(destination, AskingPostfix(ENFORCING)) == (
        "dane-only policy_type=sts policy_domain=example.com mx_host_pattern=*.example.com"
    )


def test_where_postfix_leaves_hosts_out_a_failed_lookup_stops_only_its_host() -> None:
    """RFC 7672 §2.1.2, RFC 8461 §5; rule 152"""
    destination = destination_of(Host(MX1, FAILED), Host(MX2, NONE), sts=ENFORCE)
    assert told(destination, AskingPostfix(ENFORCING)).startswith(f"secure match={MX2} ")
    assert told(destination, AskingPostfix(ENFORCING)).endswith(f" mx_host_pattern={MX2}")
    alone = destination_of(Host(MX1, FAILED), sts=ENFORCE)
    assert told(alone, AskingPostfix(ENFORCING)).startswith("dane-only ")


def test_a_policy_that_lists_no_host_stops_all_mail_and_is_reported() -> None:
    """RFC 8461 §5, RFC 8460 §4.3.2.2; rule 78"""
    destination = destination_of(Host(STRANGER, NONE), sts=ENFORCE)
    assert told(destination) == "TEMP"
    assert told(destination, AskingPostfix(NEW)) == (
        "secure match=mta-sts.example.com servername=hostname policy_type=sts"
        " policy_domain=example.com mx_host_pattern=*.example.com policy_failure=validation-failure"
    )
    policy = policy_of(MtaStsMode.ENFORCE, "*.example.com", "mx.example.com")
    exact = replace(ENFORCE, policy=policy)
    text = told(destination_of(Host(STRANGER, NONE), sts=exact), AskingPostfix(NEW))
    assert text.startswith("secure match=mx.example.com ")


def test_of_very_many_patterns_only_those_of_the_hosts_are_told() -> None:
    patterns = [f"mx{number}.example.com" for number in range(MAX_PATTERNS + 1)]
    sts = replace(ENFORCE, policy=policy_of(MtaStsMode.ENFORCE, *patterns))
    text = told(destination_of(Host(MX1, NONE), sts=sts), AskingPostfix(ENFORCING))
    assert text.count("mx_host_pattern=") == 1
    text = told(destination_of(Host(STRANGER, NONE), sts=sts), AskingPostfix(ENFORCING))
    assert text.count("mx_host_pattern=") == MAX_PATTERNS


@pytest.mark.parametrize("line", ["note: }", "{: x", "mx: a\x07", "x: ü", "x" * 5000])
def test_lines_of_a_policy_that_could_end_an_attribute_are_left_out(line: str) -> None:
    sts = replace(ENFORCE, policy_text=f"{TEXT}{line}\r\n")
    text = told(destination_of(Host(MX1, NONE), sts=sts), AskingPostfix(NEW))
    assert "policy_string" not in text
    assert text.endswith("mx_host_pattern=*.example.com")


@pytest.mark.parametrize(
    ("sts", "trouble", "has_dnssec", "text"),
    [
        (None, None, True, "NOTFOUND"),
        (None, "SERVFAIL", True, "dane"),
        (None, "SERVFAIL", False, "TEMP"),
        # Whoever forges the answer to us could have led Postfix anywhere.
        (ENFORCE, None, True, "TEMP"),
        (ENFORCE, "SERVFAIL", True, "TEMP"),
    ],
)
def test_where_no_host_is_known(
    sts: MtaStsFacts | None, trouble: str | None, has_dnssec: bool, text: str
) -> None:
    """RFC 7672 §2.1.1: a lookup that failed is never taken for `no DANE`."""
    destination = Destination((), sts, DEFAULT, trouble=trouble)
    assert told(destination, AskingPostfix(OLD, has_dnssec)) == text


@pytest.mark.parametrize(
    ("level", "tlsa", "text"),
    [
        (Level.ENCRYPT, NONE, "encrypt servername=hostname protocols=>=TLSv1.2"),
        (Level.ENCRYPT, USABLE, "dane-only"),
        (Level.ENCRYPT, FAILED, "dane-only"),
        (Level.SECURE, NONE, "secure servername=hostname protocols=>=TLSv1.2"),
        (Level.DANE, NONE, "NOTFOUND"),
        (Level.DANE_ONLY, NONE, "dane-only"),
        (Level.NONE, NONE, "NOTFOUND"),
        (Level.NONE, USABLE, "dane-only"),
    ],
)
def test_the_default_level_holds_where_nothing_asks_for_more(
    level: Level, tlsa: str, text: str
) -> None:
    default = TableEntry("", level, "policy.default_level")
    assert told(destination_of(Host(MX1, tlsa), default=default)) == text


@pytest.mark.parametrize("level", [Level.ENCRYPT, Level.DANE_ONLY, Level.VERIFY, Level.SECURE])
@pytest.mark.parametrize("mx", [Security.SECURE, INSECURE])
@pytest.mark.parametrize("sts", [None, ENFORCE])
def test_no_answer_is_dane_where_the_default_level_asks_for_more(
    level: Level, mx: Security, sts: MtaStsFacts | None
) -> None:
    """At `dane` Postfix sends to hosts without TLSA records at `may`: docs/guide/postfix.md."""
    default = TableEntry("", level, "policy.default_level")
    situations = [
        destination_of(Host(MX1, first), Host(MX2, second), sts=sts, mx=mx, default=default)
        for first in TLSA
        for second in TLSA
    ]
    situations += [replace(each, unknown=("mx3.example.com",)) for each in situations]
    situations.append(Destination((), sts, default, trouble="x"))
    for situation in situations:
        assert told(situation).partition(" ")[0] not in {"dane", "may", "none", "NOTFOUND"}


def test_the_default_level_holds_where_no_host_is_known() -> None:
    default = TableEntry("", Level.ENCRYPT, "policy.default_level")
    assert told(Destination((), None, default, trouble="x")).startswith("encrypt ")


def test_the_choice_is_explained() -> None:
    """What other hosts get for it too."""
    hosts = [Host(MX1, USABLE), Host(MX2, NONE), Host(MX3, NONE)]
    reply = choose_reply(destination_of(*hosts, sts=ENFORCE), POSTFIX)
    assert reply.reason == (
        "MTA-STS enforces, and must not override the TLSA records of mx1.example.com"
        " (RFC 8461 §2): Postfix takes one level, so 2 other hosts get no mail"
    )
    many = [Host(f"mx{number}.example.com", USABLE) for number in range(5)]
    assert choose_reply(destination_of(*many), POSTFIX).reason == (
        "all hosts have TLSA records: mx0.example.com, mx1.example.com, mx2.example.com and 2 more"
    )
    behind = destination_of(Host(MX1, USABLE), mx=INSECURE, sts=ENFORCE)
    assert choose_reply(behind, POSTFIX).reason.endswith(
        "behind an insecure MX, and are not looked at"
    )
    default = TableEntry("", Level.ENCRYPT, "policy.default_level")
    below = destination_of(Host(MX1, USABLE), mx=INSECURE, default=default)
    assert choose_reply(below, POSTFIX).reason.endswith(
        "behind an insecure MX, and are not looked at"
    )


def test_mx_facts_are_what_they_seem() -> None:
    """The model above would accept anything if no situation led to each of its answers."""
    answers = set()
    for tlsa in TLSA:
        for sts in (None, ENFORCE):
            destination = destination_of(Host(MX1, tlsa), sts=sts)
            reply = choose_reply(destination, AskingPostfix(ENFORCING))
            answers.add(act(reply, Host(MX1, tlsa), destination, AskingPostfix(ENFORCING)))
    assert answers == {"any", "dane", "tls", "pkix", "out"}
    assert TlsaFacts(TlsaStatus.NONE) == TLSA[NONE]
