"""We send to Postfix by TLSA records and by MTA-STS policies: it gets mail, or not one MAIL.

RFC 7672 §2.2, RFC 8461 §5. The resolver says of all answers that they are secure.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from tests.free_ports import free_port
from tests.interop.background import in_background, zones
from tests.interop.log_verdicts import LEFT_WITHOUT_MAIL
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    running_postfix,
)
from tests.journeys.running_node import RunningNode, running
from tests.network.certificates import issue
from tests.published_domains import format_policy, key_digest, policies_of, sending_node

HOSTS = KEYED, CLEAR = ("127.0.79.1", "127.0.79.2")
OTHER = sha256(b"another key").hexdigest()
MATCHED, CHANGED, ENFORCED, WRONG, STRIPPED, LISTED_NOT = DOMAINS = (
    "matched.example",
    "changed.example",
    "enforced.example",
    "wrong.example",
    "stripped.example",
    "unlisted.example",
)
"""The first two have TLSA records, the others an enforcing policy."""
WITH_POLICY = (ENFORCED, WRONG, STRIPPED, LISTED_NOT)


@dataclass(frozen=True, slots=True)
class Both:
    """A node of ours that sends, and a Postfix that is every domain's MX host."""

    node: RunningNode
    postfix: PostfixInstance

    def send(self, domain: str) -> tuple[str, str, str]:
        """Send; gives status, code and reason."""
        queue_id = self.node.send(to=f"bob@{domain}", sender="alice@example.net")
        found = self.node.wait_log(rf"{queue_id}: to=<\S+>, .*dsn=(\S+), status=(\w+) \((.*)\)")
        return found[2], found[1], found[3]


@pytest.fixture(scope="module")
def both(postfix_peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    port, folder = free_port(*HOSTS), tmp_path_factory.mktemp("published")
    issued = issue(tuple(f"mx.{domain}" for domain in DOMAINS if domain != WRONG))
    records = dict.fromkeys(DOMAINS, f"@ MX 10 mx\nmx A {KEYED}\n")
    records[STRIPPED] = f"@ MX 10 mx\nmx A {CLEAR}\n"
    records[MATCHED] += f"_{port}._tcp.mx TLSA 3 1 1 {key_digest(issued)}\n"
    records[CHANGED] += f"_{port}._tcp.mx TLSA 3 1 1 {OTHER}\n"
    for domain in WITH_POLICY:
        records[domain] += '_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A 127.0.0.1\n'
    with (
        postfix_files(peer=postfix_peer) as files,
        zones(records, authentic_data=True) as resolver,
        in_background(_policies(folder)) as policy_port,
    ):
        files.mailboxes = tuple(f"bob@{domain}" for domain in DOMAINS)
        tls = files.add_certificate(issued, "mx")
        files.add_server(KEYED, port, smtpd_tls_security_level="may", **tls)
        files.add_server(CLEAR, port, smtpd_tls_security_level="none")
        node = sending_node(folder, resolver, port, policy_port)
        with running_postfix(files) as postfix, running(node) as sender:
            yield Both(sender, postfix)


@asynccontextmanager
async def _policies(folder: Path) -> AsyncIterator[int]:
    def find(domain: Domain) -> bytes:
        mx = "mx.elsewhere.example" if domain == LISTED_NOT else f"mx.{domain}"
        return format_policy("enforce", mx)

    names = tuple(f"mta-sts.{domain}" for domain in WITH_POLICY)
    async with policies_of(folder, find, names) as port:
        yield port


@pytest.mark.parametrize("domain", [MATCHED, ENFORCED])
def test_postfix_gets_the_mail_over_what_was_verified(both: Both, domain: str) -> None:
    """RFC 7672 §2.2, RFC 8461 §4.2; rules 32, 77 and 147."""
    since, theirs = len(both.node.lines), len(both.postfix.lines)
    status, _, text = both.send(domain)
    assert status == "sent", text
    shape = r"TLS connection established \w+ \S+: (\S+) with cipher (\S+) \((\S+) bits\)"
    ours = both.node.wait_log(rf" Verified {shape}", since=since)
    assert both.postfix.wait_log(shape, since=theirs).groups() == ours.groups()
    queue_id = text.rpartition(" ")[2]
    both.postfix.wait_log(rf"{queue_id}: to=<bob@{domain}>, relay=virtual.*status=sent")
    assert len(both.postfix.files.mails(f"bob@{domain}")) == 1


@pytest.mark.parametrize(
    ("domain", "dsn", "reason"),
    [
        (CHANGED, "4.7.5", "no TLSA record matches"),
        (WRONG, "4.7.5", f"wanted: mx.{WRONG}"),
        (STRIPPED, "4.7.4", "TLS is required"),
    ],
)
def test_postfix_is_left_before_any_mail(both: Both, domain: str, dsn: str, reason: str) -> None:
    """RFC 7672 §3.2, RFC 8461 §5; rules 48 and 78."""
    theirs = len(both.postfix.lines)
    status, code, text = both.send(domain)
    assert (status, code) == ("deferred", dsn), text
    assert reason in text
    both.postfix.wait_log(LEFT_WITHOUT_MAIL, since=theirs)
    assert both.postfix.files.mails(f"bob@{domain}") == []


def test_postfix_is_not_connected_to_where_it_is_not_listed(both: Both) -> None:
    """RFC 8461 §5; rule 78."""
    theirs = len(both.postfix.lines)
    status, code, text = both.send(LISTED_NOT)
    assert (status, code) == ("deferred", "4.7.5")
    assert f"does not list mx.{LISTED_NOT}" in text
    assert f"mx.{LISTED_NOT}[{KEYED}]" in text
    assert not any(" connect from" in line for line in both.postfix.lines[theirs:])
