"""Postfix and we meet the same misbehaving servers, and our logs say the same of them.

RFC 5321 §4.2.5, RFC 3207 §4, RFC 9525 §6. Both read one policy table, Postfix's; our rule for
clear text after failed TLS is set to Postfix's. Where the two differ, `known_differences` says how
and why.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.probes import ProbeQuestion, ProbeTerms, probe_service
from letterlock.protocols.check.facts import AddressFacts, DomainFacts, HostFacts, Probe, State
from letterlock.protocols.check.findings import Severity
from letterlock.protocols.check.live import find_live
from letterlock.protocols.check.senders import Sender, judge_domain
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.mail_log.reading import LogReader
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.services.check.asking import Asker, Door
from tests.checked_domains import find_outcome
from tests.free_ports import free_port
from tests.interop.background import in_background
from tests.interop.expected_causes import expected_causes
from tests.interop.known_differences import known_differences
from tests.interop.log_verdicts import Told, find_decisions
from tests.interop.misconducts import HOST, Case, make_cases
from tests.interop.postfix_instance import (
    PostfixFiles,
    PostfixInstance,
    postfix_files,
    running_postfix,
    submit,
)
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.misbehaving import Seen, serving
from tests.network.certificates import NOW, authority

NOBODY = "[127.0.0.1]:9"
"""Nobody listens there."""
TIMEOUT = "15s"
"""How long each waits for a silent server; much longer than the others need to answer."""
PROBE_SECONDS = 10.0
"""The same for the checker, who asks all of them at once, on a machine that is busy."""
SENDER = "alice@example.org"

_COMMON_TIMEOUTS = ("helo", "mail", "rcpt", "data_init")
_OUR_TIMEOUTS = (*_COMMON_TIMEOUTS, "greeting", "handshake", "data_block", "data_end")
_THEIR_TIMEOUTS = (*_COMMON_TIMEOUTS, "connect", "starttls", "data_xfer", "data_done")


@dataclass
class Met:
    """One case, what each log says of it, and what the server saw (None: there was none)."""

    case: Case
    seen: Seen | None
    theirs: Told
    ours: Told
    their_cause: str
    our_cause: str
    """What `log explain` makes of each log."""
    place: tuple[str, int] | None


@pytest.fixture(scope="module")
def meetings(postfix_peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Met]]:
    cases = make_cases()
    conducts = [case.conduct for case in cases if case.conduct is not None]
    with in_background(serving(*conducts)) as servers, postfix_files(peer=postfix_peer) as files:
        left = iter(servers)
        met = {case: next(left) if case.conduct is not None else None for case in cases}
        hops = {case: f"[{it.ip}]:{it.port}" if it else NOBODY for case, it in met.items()}
        port = free_port("127.0.0.1")
        (files.folder / "authority.pem").write_bytes(authority().pem)
        policy = files.folder / "policy"
        lines = {hop: f"{hop} {_policy(case)}\n" for case, hop in hops.items()}
        policy.write_text("".join(lines.values()))
        relays = {case.domain: hop for case, hop in hops.items()}
        _set_up_postfix(files, port, relays)
        node = _set_up_node(tmp_path_factory.mktemp("node"), files, relays)
        with running_postfix(files) as postfix, running(node) as ours:
            _submit_to_both(ours, port, relays)
            theirs_told, ours_told = _wait_told(postfix, ours, relays)
            causes = _explain(postfix.lines), _explain(ours.lines)
        yield [
            Met(
                case,
                it.seen if it else None,
                theirs_told[case.domain],
                ours_told[case.domain],
                causes[0][case.domain],
                causes[1][case.domain],
                (it.ip, it.port) if it else None,
            )
            for case, it in met.items()
        ]


def _policy(case: Case) -> str:
    """Give what follows the key in a line of `smtp_tls_policy_maps`."""
    names = f" servername={HOST}" if case.is_named and case.level != "none" else ""
    match = f" match={HOST}" if case.level in ("verify", "secure") else ""
    return case.level + match + names


def _set_up_postfix(files: PostfixFiles, port: int, relays: Mapping[str, str]) -> None:
    transports = "".join(f"{domain} smtp:{relay}\n" for domain, relay in relays.items())
    (files.folder / "transports").write_text(transports)
    files.add_server("127.0.0.1", port)
    files.settings = {
        "transport_maps": f"texthash:{files.folder / 'transports'}",
        "smtp_tls_CAfile": str(files.folder / "authority.pem"),
        "smtp_tls_policy_maps": f"texthash:{files.folder / 'policy'}",
        **{f"smtp_{step}_timeout": TIMEOUT for step in _THEIR_TIMEOUTS},
    }


def _set_up_node(folder: Path, postfix: PostfixFiles, relays: Mapping[str, str]) -> NodeFiles:
    files = NodeFiles(folder)
    files.change(
        "deliver",
        routes=dict(relays),
        families=["ipv4"],
        # Postfix's rule: after minimal_backoff_time.
        clear_fallback="after",
        timeouts=dict.fromkeys(_OUR_TIMEOUTS, TIMEOUT),
    )
    files.change(
        "policy",
        postfix_table=str(postfix.folder / "policy"),
        trust_files=[str(postfix.folder / "authority.pem")],
    )
    return files


def _submit_to_both(ours: RunningNode, their_port: int, relays: Mapping[str, str]) -> None:
    with ours.client() as client:
        for domain in relays:
            client.deliver(SENDER, [f"bob@{domain}"], "Subject: hello\n\nhello\n")
    for domain in relays:
        submit(their_port, f"bob@{domain}")


def _wait_told(
    postfix: PostfixInstance, ours: RunningNode, relays: Mapping[str, str]
) -> tuple[dict[str, Told], dict[str, Told]]:
    """Wait until both logs have told how each delivery ended."""
    end = time.monotonic() + 2 * PATIENCE
    while True:
        logs = find_decisions(postfix.lines, relays), find_decisions(ours.lines, relays)
        untold = [relays.keys() - log.keys() for log in logs]
        if not any(untold):
            return logs
        assert time.monotonic() < end, f"not told by Postfix, by us: {untold}\n{ours.log}"
        time.sleep(0.2)


def _explain(lines: list[str]) -> dict[str, str]:
    """Give the cause of each domain's first delivery, as `log explain` has it."""
    reader = LogReader()
    causes: dict[str, str] = {}
    for delivery in reader.read(lines):
        causes.setdefault(delivery.domain, delivery.cause)
    reader.close()
    assert reader.tally.unread == 0
    return causes


def test_both_logs_say_the_same_but_for_the_known_differences(
    meetings: list[Met], postfix_peer: str
) -> None:
    """Outcome, status code, Postfix's word, version, cipher, and the reason in words of one."""
    differences = {
        met.case.key: (str(met.theirs), str(met.ours)) for met in meetings if met.theirs != met.ours
    }
    assert differences == known_differences(postfix_peer)


def test_log_explain_finds_the_cause_in_both_logs(meetings: list[Met], postfix_peer: str) -> None:
    """Of every server and level."""
    for met in meetings:
        found = met.their_cause, met.our_cause
        assert found == expected_causes(met.case, postfix_peer), met.case.key


def test_what_is_compared_is_told(meetings: list[Met]) -> None:
    """No reason is a text that the reader of logs does not know, or every one would be the same."""
    assert len({met.case.name for met in meetings}) >= 25
    reasons = {met.ours.reason for met in meetings} | {met.theirs.reason for met in meetings}
    assert not [reason for reason in reasons if "[" in reason or "?" in reason]
    assert len(reasons) > 20


def test_each_meets_each_server_once_and_sends_no_mail_in_clear_where_tls_is_required(
    meetings: list[Met],
) -> None:
    """RFC 3207 §4.1."""
    for met in meetings:
        if met.seen is None:
            continue
        assert met.seen.connections == 2, met.case.key
        if met.case.level not in ("none", "may"):
            assert met.seen.mails_in_clear == [], met.case.key
        sent = [told for told in (met.theirs, met.ours) if told.status == "sent"]
        assert len(met.seen.taken) == len(sent), met.case.key


LEVELS = ("may", "encrypt", "verify")
TLS_REASONS = ("certificate", "TLS not offered", "STARTTLS refused", "handshake failed")
"""How the reader of logs names what happens before anything is said under TLS."""


_OTHER_CERTIFICATE = "other-certificate-for-unknown-sni other-certificate-without-sni"
FAULTS = {
    **dict.fromkeys(("name-asked-for", "no-name-asked-for"), _OTHER_CERTIFICATE),
    **dict.fromkeys(("expired", "expired-intermediate"), "certificate-expired"),
    **dict.fromkeys(
        ("partial-wildcard", "wrong-name", "name-in-cn-only"), "certificate-name-mismatch"
    ),
    **dict.fromkeys(
        # No intermediate is named by the certificate itself, so that it could be fetched.
        ("unknown-issuer", "missing-intermediate", "issued-by-a-leaf"),
        "certificate-untrusted",
    ),
    "not-yet-valid": "certificate-expires-soon certificate-not-yet-valid",
    "self-signed": "certificate-self-signed",
    "wrong-purpose": "certificate-not-for-servers",
    "weak-key": "certificate-weak",
    "expired-and-wrong-name": "certificate-expired certificate-name-mismatch",
    **dict.fromkeys(("tls-1.0-only", "tls-1.1-only"), "old-tls-only"),
    **dict.fromkeys(("cbc-only", "no-forward-secrecy"), "weak-ciphers-only"),
    **dict.fromkeys(
        (
            *("anonymous-only", "no-encryption", "sni-refused", "client-certificate-wanted"),
            *("client-certificate-wanted-1.2", "handshake-garbage", "handshake-fin"),
            *("handshake-rst", "handshake-silence", "injected", "fin-at-ehlo-under-tls"),
            "rst-at-ehlo-under-tls",
        ),
        "handshake-failed",
    ),
    **dict.fromkeys(("no-starttls", "ehlo-502"), "starttls-not-offered"),
    **dict.fromkeys(("starttls-454", "starttls-502", "starttls-421"), "starttls-refused"),
}
"""What the checker finds wrong with each server; with the others nothing is."""


def test_the_checker_says_what_became_of_mail_and_why(meetings: list[Met]) -> None:
    """Each server is asked as `letterlock check` asks; a sender at that level is judged by it.

    What a server does later, at MAIL and after it, no checker can know that sends none.
    """
    probes = asyncio.run(_probe_all([met.place for met in meetings if met.place is not None]))
    compared = [
        (met, _judge(met.case, met.place, probes[met.place]), _find_came(met))
        for met in meetings
        # Nobody who sends at `none` is asked about: it is in clear whatever a host shows.
        if met.place is not None and _is_decided_by_tls(met.ours) and met.case.level != "none"
    ]
    wrong = {met.case.key: (said, came) for met, said, came in compared if said != came}
    # It hung up on the checker, who can't know what others get.
    hung_up = {("starttls-421", level): ("undecidable", "defer") for level in LEVELS}
    assert wrong == hung_up
    assert len(compared) > 80
    found = {
        met.case.name: _find_faults(met.case, met.place, probes[met.place])
        for met, *_ in compared
        if met.place is not None
    }
    assert found == {name: set(FAULTS.get(name, "").split()) for name in found}
    assert len(found) >= 40


def _is_decided_by_tls(told: Told) -> bool:
    return told.status == "sent" or told.reason.startswith(TLS_REASONS)


def _find_came(met: Met) -> str:
    word = met.ours.tls.partition(" ")[0]
    return find_outcome(met.ours.status, word)


def _make_facts(case: Case, place: tuple[str, int], probes: tuple[Probe, ...]) -> DomainFacts:
    address = AddressFacts(ip_address(place[0]), Security.INSECURE, State.OK, probes)
    host = HostFacts(Domain(HOST), 0, (address,))
    # At `secure` it is the next hop's name that counts.
    domain = Domain(HOST) if case.level == "secure" else Domain(case.domain)
    return DomainFacts(domain, (host,), Security.INSECURE)


def _find_faults(case: Case, place: tuple[str, int], probes: tuple[Probe, ...]) -> set[str]:
    """Give what the checker finds wrong with a server, but for what is only good to know."""
    terms = Terms(TrustAnchors.from_pem(authority().pem), NOW)
    found = find_live(_make_facts(case, place, probes), terms)
    return {str(each.id) for each in found if each.severity is not Severity.INFO}


def _judge(case: Case, place: tuple[str, int], probes: tuple[Probe, ...]) -> str:
    """Judge what was seen as the node's policy table has it: level, SNI, and `match=`."""
    sender = Sender(case.name, "", Level(case.level), sends_sni=case.is_named, oldest="TLSv1.2")
    facts = _make_facts(case, place, probes)
    anchors = TrustAnchors.from_pem(authority().pem)
    verdict = judge_domain(sender, facts, anchors, NOW).verdict
    if verdict is None:
        return "undecidable"
    is_fallback = verdict.outcome is Outcome.CLEAR and verdict.reason.startswith("in clear, after")
    # Both were told to try TLS for a while first.
    return "defer" if is_fallback or _is_refused(case, verdict) else verdict.outcome.value


def _is_refused(case: Case, verdict: Verdict) -> bool:
    """The node's rule for clear text holds for STARTTLS that is refused, too."""
    return case.level == "may" and verdict.reason_code.startswith("smtp-starttls-reply-code")


async def _probe_all(
    places: list[tuple[str, int]],
) -> dict[tuple[str, int], tuple[Probe, ...]]:
    async def probe(door: Door, question: ProbeQuestion) -> Probe:
        terms = ProbeTerms("checker.example", SystemClock(), PROBE_SECONDS)
        return await probe_service((str(door.ip), door.port), door.speech, question, terms)

    asker = Asker(probe, SystemClock(), pace=0)
    doors = {place: Door(ip_address(place[0]), place[1], HOST) for place in places}
    found = await asyncio.gather(*(asker.ask(door) for door in doors.values()))
    return dict(zip(doors, found, strict=True))
