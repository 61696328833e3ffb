"""A node sends to domains of the DNSSEC lab, with TLSA records and MTA-STS policies.

RFC 7672 §2.2, RFC 8461 §5, RFC 8689 §4.2. What each server was told is what counts: nothing leaves
in clear or to nobody knows whom where what is published forbids it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.checked_domains import OURS, check_documents, find_outcomes
from tests.dnssec_lab.lab import require_libunbound
from tests.journeys.running_node import RunningNode, running
from tests.network.certificates import issue
from tests.peers import require_peer
from tests.published_domains import (
    DOMAINS,
    EXPIRED,
    GOOD,
    OWN,
    PLAIN,
    SHY,
    UNSIGNED,
    WITH_TLSA,
    PublishedDomains,
    find_word,
    published_domains,
)


@dataclass(frozen=True, slots=True)
class Expected:
    """How mail for a domain ends: status, code, word of the TLS line, the server that took it.

    `text` is in the line of the log; `sources` are those of the last requirement.
    """

    status: str
    dsn: str = "2.0.0"
    word: str = ""
    server: str = ""
    text: str = ""
    sources: tuple[str, ...] = ()


EXPECTED = {
    "ee.secure.example": Expected("sent", word="Verified", server=OWN, sources=("dane",)),
    "ta.secure.example": Expected("sent", word="Verified", server=GOOD, sources=("dane",)),
    "other.secure.example": Expected(
        "deferred", "4.7.5", "Untrusted", text="no TLSA record matches", sources=("dane",)
    ),
    "next.secure.example": Expected("sent", word="Verified", server=OWN, sources=("dane",)),
    "unprovable.secure.example": Expected("sent", word="Untrusted", server=OWN, sources=("dane",)),
    "unprovable-plain.secure.example": Expected(
        "deferred", "4.7.4", text="TLS is required", sources=("dane",)
    ),
    "stripped.secure.example": Expected(
        "deferred", "4.7.4", text="TLS is required", sources=("dane",)
    ),
    "rolling.secure.example": Expected("sent", word="Verified", server=OWN, sources=("dane",)),
    "weaker.secure.example": Expected(
        "deferred", "4.7.5", "Untrusted", text="no TLSA record matches", sources=("dane",)
    ),
    "unnamed.secure.example": Expected("deferred", "4.7.5", "Trusted", sources=("dane",)),
    "none.secure.example": Expected(
        "sent", word="Untrusted", server=OWN, sources=("opportunistic",)
    ),
    "hidden.secure.example": Expected("deferred", "4.7.5", text="the TLSA lookup failed"),
    "hidden-next.secure.example": Expected("sent", word="Verified", server=OWN, sources=("dane",)),
    "insecure.unsigned.example": Expected(
        "sent", word="Untrusted", server=OWN, sources=("opportunistic",)
    ),
    "half.unsigned.example": Expected("sent", word="Trusted", server=OWN, sources=("dane",)),
    "half-other.unsigned.example": Expected(
        "deferred", "4.7.5", "Untrusted", text="no TLSA record matches", sources=("dane",)
    ),
    "enforce.unsigned.example": Expected(
        "sent", word="Verified", server=GOOD, sources=("mta-sts",)
    ),
    "enforce-next.unsigned.example": Expected(
        "sent", word="Verified", server=GOOD, sources=("mta-sts",)
    ),
    "enforce-own.unsigned.example": Expected(
        "deferred", "4.7.5", text="self-signed", sources=("mta-sts",)
    ),
    "enforce-plain.unsigned.example": Expected(
        "deferred", "4.7.4", text="TLS is required", sources=("mta-sts",)
    ),
    "unlisted.unsigned.example": Expected(
        "deferred", "4.7.5", text="does not list mx1.unlisted.unsigned.example"
    ),
    "testing.unsigned.example": Expected(
        "sent", word="Untrusted", server=OWN, sources=("opportunistic",)
    ),
    "testing-plain.unsigned.example": Expected("sent", server=PLAIN, sources=("opportunistic",)),
    "missing.unsigned.example": Expected(
        "sent", word="Untrusted", server=OWN, sources=("opportunistic",)
    ),
    "partial.secure.example": Expected(
        "sent", word="Verified", server=GOOD, sources=("dane", "mta-sts")
    ),
    "both-other.secure.example": Expected(
        "deferred", "4.7.5", "Trusted", text="no TLSA record matches", sources=("dane", "mta-sts")
    ),
    "both-own.secure.example": Expected(
        "deferred", "4.7.5", "Trusted", text="self-signed", sources=("dane", "mta-sts")
    ),
    # RFC 7672 §3.1.1: with DANE-EE no date counts.
    "ee-expired.secure.example": Expected(
        "sent", word="Verified", server=EXPIRED, sources=("dane",)
    ),
    "ta-expired.secure.example": Expected(
        "deferred", "4.7.5", "Untrusted", text="expired", sources=("dane",)
    ),
    "ee-shy.secure.example": Expected("sent", word="Verified", server=SHY, sources=("dane",)),
    "enforce-expired.unsigned.example": Expected(
        "deferred", "4.7.5", text="expired", sources=("mta-sts",)
    ),
    "enforce-shy.unsigned.example": Expected(
        "sent", word="Verified", server=SHY, sources=("mta-sts",)
    ),
}


FAULTS = {
    "": (
        "enforce.unsigned.example",
        "ta.secure.example",
    ),
    "certificate-expired": ("ee-expired.secure.example",),
    "certificate-expired mta-sts-host-fails": ("enforce-expired.unsigned.example",),
    "certificate-expired tlsa-no-match-served": ("ta-expired.secure.example",),
    "certificate-name-mismatch tlsa-no-match-served": ("unnamed.secure.example",),
    "certificate-self-signed": (
        "ee.secure.example",
        "half.unsigned.example",
        "insecure.unsigned.example",
        "none.secure.example",
        "rolling.secure.example",
        "testing.unsigned.example",
    ),
    "certificate-self-signed dane-and-mta-sts-disagree mta-sts-host-fails": (
        "both-own.secure.example",
    ),
    "certificate-self-signed mta-sts-host-fails": ("enforce-own.unsigned.example",),
    "certificate-self-signed mta-sts-host-fails tlsa-unusable": ("partial.secure.example",),
    "certificate-self-signed mta-sts-host-fails starttls-not-offered": (
        "enforce-next.unsigned.example",
    ),
    "certificate-self-signed mta-sts-no-policy": ("missing.unsigned.example",),
    "certificate-self-signed tlsa-lookup-failed": ("hidden-next.secure.example",),
    "certificate-self-signed tlsa-no-match-served": (
        "next.secure.example",
        "weaker.secure.example",
    ),
    "certificate-self-signed tlsa-unusable": ("unprovable.secure.example",),
    "dane-and-mta-sts-disagree tlsa-no-match-served": ("both-other.secure.example",),
    "dnssec-bogus": ("bogus.example",),
    "dnssec-bogus rrsig-ended": ("expired.example",),
    "dnssec-bogus rrsig-not-yet-valid": ("future.example",),
    "mta-sts-host-fails mta-sts-mx-unlisted": ("unlisted.unsigned.example",),
    "mta-sts-host-fails starttls-not-offered": ("enforce-plain.unsigned.example",),
    "other-certificate-without-sni": (
        "ee-shy.secure.example",
        "enforce-shy.unsigned.example",
    ),
    "starttls-not-offered": (
        "stripped.secure.example",
        "testing-plain.unsigned.example",
    ),
    "starttls-not-offered tlsa-unusable": ("unprovable-plain.secure.example",),
    "tlsa-lookup-failed": ("hidden.secure.example",),
    "tlsa-no-match-served": (
        "half-other.unsigned.example",
        "other.secure.example",
    ),
}
"""What the checker finds wrong, and where; `BROKEN` are domains whose signatures are."""
BROKEN = ("bogus.example", "expired.example", "future.example")


@dataclass(frozen=True, slots=True)
class Sending:
    """A node, and where it sends to."""

    node: RunningNode
    domains: PublishedDomains

    def send(self, domain: str, text: str = "Subject: hi\n\nhi\n") -> tuple[str, str, str, str]:
        """Send to a domain; gives queue id, status, code and reason of the first attempt."""
        queue_id = self.node.send(text, to=f"alice@{domain}", sender=f"writer@{domain}")
        return queue_id, *self.wait_end(queue_id)

    def wait_end(self, queue_id: str) -> tuple[str, str, str]:
        found = self.node.wait_log(rf"{queue_id}: to=<.*dsn=(\S+), status=(\w+) \((.*)\)")
        return found[2], found[1], found[3]

    def show(self, queue_id: str) -> list[dict[str, Any]]:
        """Give the stories of all attempts."""
        self.node.wait_settled(queue_id)
        shown = self.node.files.command("queue", "show", queue_id, "--json")
        assert shown.code == 0, shown.error
        return [attempt["story"] for attempt in shown.document["attempts"]]


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sending]:
    require_peer("nsd", "unbound", "ldns")
    folder = tmp_path_factory.mktemp("published")
    with published_domains(tmp_path_factory.mktemp("lab")) as domains:
        files = domains.make_node(folder)
        files.add_certificate(issue(("relay.example.net",)))
        with running(files) as node:
            yield Sending(node, domains)


def test_the_table_has_every_domain() -> None:
    assert set(EXPECTED) == set(DOMAINS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_mail_is_held_to_what_the_domain_publishes(sending: Sending, domain: str) -> None:
    """RFC 7672 §2.2, RFC 8461 §5; rules 29, 32, 33, 34, 48, 59, 72, 78, 79, 152, 153."""
    expected, since = EXPECTED[domain], len(sending.node.lines)
    queue_id, status, dsn, text = sending.send(domain)
    assert (status, dsn) == (expected.status, expected.dsn), text
    assert expected.text in text
    served = sending.domains.find_mails(f"writer@{domain}")
    assert served == ([expected.server] if expected.server else [])
    assert find_word(sending.node.lines[since:], domain) == expected.word
    stories = sending.show(queue_id)
    requirement = stories[-1]["requirement"]
    assert tuple(requirement["sources"] if requirement else ()) == expected.sources
    if expected.word == "Verified" and status == "sent":
        assert stories[-1]["verdict"]["outcome"] == "authenticated"


def test_nothing_left_in_clear_but_where_nothing_is_asked(sending: Sending) -> None:
    """RFC 7672 §2.2, RFC 8461 §5; rules 32, 78: also not behind a handshake that failed."""
    for domain in DOMAINS:
        sending.send(domain)
    senders = {
        line.partition("<")[2].partition(">")[0] for line in sending.domains.find_clear_mails()
    }
    assert senders == {"writer@testing-plain.unsigned.example"}


def test_what_a_policy_in_testing_would_have_stopped_is_recorded(sending: Sending) -> None:
    """RFC 8461 §5, §6; rules 79, 84."""
    for domain, result_type in (
        ("testing.unsigned.example", "certificate-not-trusted"),
        ("testing-plain.unsigned.example", "starttls-not-supported"),
        ("missing.unsigned.example", "certificate-not-trusted"),
    ):
        queue_id, *_ = sending.send(domain)
        (story,) = sending.show(queue_id)
        assert story["requirement"]["is_testing"] == ("testing" in domain)
        assert story["verdict"]["result_type"] == result_type


def test_tls_required_no_goes_over_what_is_published(sending: Sending) -> None:
    """RFC 8689 §4.2.2; rules 92, 154: DANE and MTA-STS both; it is tried, and recorded."""
    for domain in ("other.secure.example", "enforce-own.unsigned.example", "hidden.secure.example"):
        asked = "TLS-Required: No\nSubject: your TLS is broken\n\nsee your log\n"
        queue_id, status, _, text = sending.send(domain, asked)
        assert status == "sent", text
        assert sending.show(queue_id)[-1]["verdict"]["outcome"] == "encrypted"


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("ta.secure.example", "sent"),
        ("enforce.unsigned.example", "sent"),
        ("other.secure.example", "5.7.10"),
        # It offers no REQUIRETLS.
        ("ee.secure.example", "5.7.30"),
        ("enforce-own.unsigned.example", "5.7.10"),
    ],
)
def test_requiretls_goes_where_the_host_is_proved(
    sending: Sending, domain: str, status: str
) -> None:
    """RFC 8689 §4.2.1; rules 88, 89, 90."""
    sender = f"requiretls@{domain}"
    with sending.node.client() as client:
        client.start("relay.example.net")
        client.ehlo()
        client.mail(sender, ["REQUIRETLS"])
        client.rcpt(f"alice@{domain}")
        queue_id = (
            client.data("Subject: in confidence\n\nfor nobody else\n")[1].decode().split()[-1]
        )
    ended, dsn, text = sending.wait_end(queue_id)
    if status == "sent":
        assert ended == "sent", text
        (line,) = [
            line for line in sending.domains.servers[GOOD].seen.mails if f"<{sender}>" in line
        ]
        assert line.endswith(" REQUIRETLS")
    else:
        assert (ended, dsn) == ("bounced", status), text
        assert sending.domains.find_mails(sender) == []


def test_the_node_says_that_dane_can_work(sending: Sending) -> None:
    """RFC 7672 §2.1.1; rule 26."""
    sending.node.wait_log("DANE can work: secure.example is signed, and was validated")


def test_with_a_validator_of_its_own_a_node_does_the_same(sending: Sending, tmp_path: Path) -> None:
    """RFC 7672 §2.1.1; rules 26, 27, 29, 32 and 48: libunbound, which asks the zones' server."""
    require_libunbound()
    lab = sending.domains.lab
    files = sending.domains.make_node(tmp_path)
    host, port = lab.authority
    files.settings["dns"].update(
        backend="libunbound", resolver=f"{host}:{port}", trust_anchor=str(lab.trust_anchor)
    )
    with running(files) as node:
        for domain in (*WITH_TLSA, "bogus.example"):
            since = len(node.lines)
            sender = f"libunbound@{domain}"
            queue_id = node.send(to=f"alice@{domain}", sender=sender)
            found = node.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
            expected = EXPECTED.get(domain, Expected("deferred"))
            assert found[1] == expected.status, found[2]
            assert find_word(node.lines[since:], domain) == expected.word
            served = [expected.server] if expected.server else []
            assert sending.domains.find_mails(sender) == served


def test_the_checker_says_beforehand_what_becomes_of_mail_and_why(sending: Sending) -> None:
    """By the same code: RFC 7672 §2.2, RFC 8461 §5. Of each domain, and it sends nothing.

    Mail is sent here, too, so that verdict, delivery and findings stand beside each other.
    """
    domains = (*EXPECTED, *BROKEN)
    came = {domain: _send_and_look(sending, domain) for domain in domains}
    mails = [len(server.seen.mails) for server in sending.domains.servers.values()]
    documents = check_documents(sending.node.files, *domains)
    assert mails == [len(server.seen.mails) for server in sending.domains.servers.values()]
    assert len(documents) == len(domains) >= 30
    said = {domain: find_outcomes(document)[OURS] for domain, document in documents.items()}
    assert said == came, [documents[each]["verdicts"] for each in came if said[each] != came[each]]
    found = {domain: _find_faults(document) for domain, document in documents.items()}
    assert found == {
        domain: set(faults.split()) for faults, each in FAULTS.items() for domain in each
    }
    signed = {domain for domain, each in documents.items() if each["dnssec"]["nearest"]}
    # A domain that is not signed may have a host that is.
    half = {domain for domain in domains if domain.startswith("half")}
    assert signed == half | {domain for domain in domains if not domain.endswith(UNSIGNED)}
    _compare_times(documents.values())


def _compare_times(documents: Collection[Mapping[str, Any]]) -> None:
    """What a new TLSA record must wait for is the zone's TTL, as the signature has it."""
    hosts = [host for document in documents for host in document["hosts"] if host["renewal"]]
    # A signature that a busy machine did not get in time says nothing.
    times = {
        each["name"]: each["ttl"]
        for document in documents
        for each in document["dnssec"]["signatures"]
        if each["type"] == "TLSA"
    }
    owners = [host["tlsa_to_publish"][0].partition(". IN TLSA ")[0] for host in hosts]
    assert len(hosts) >= 10
    assert {*owners} & {*times}
    for owner, host in zip(owners, hosts, strict=True):
        if owner in times:
            assert (host["tlsa_ttl"], host["tlsa_wait"]) == (times[owner], 2 * times[owner])


def _send_and_look(sending: Sending, domain: str) -> str:
    queue_id, status, *_ = sending.send(domain)
    if status != "sent":
        return "defer"
    outcome: str = sending.show(queue_id)[-1]["verdict"]["outcome"]
    return outcome


def _find_faults(document: Mapping[str, Any]) -> set[str]:
    """Give what is wrong with TLS and what is published for it; all else is the lab's."""
    about = ("certificate-", "dane-", "handshake-", "mta-sts-", "old-", "other-", "starttls-")
    return {
        each["id"]
        for each in document["findings"]
        if each["id"].startswith((*about, "tlsa-", "rrsig-", "dnssec-"))
        and each["severity"] in ("critical", "warning")
    }
