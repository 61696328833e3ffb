"""Delivery to other hosts: which host, what each answer means, which connection is used again."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import MxRecord
from letterlock.protocols.pki.throwaway_ca import self_signed
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry, WrongEntry
from letterlock.services.queue.outcomes import Delivery, Result
from tests.misbehaving import Act, Conduct, serving
from tests.network.certificates import NOW
from tests.services.deliver.outbound import (
    DOMAIN,
    HOST,
    leaf,
    only,
    sending,
    stories,
    timeouts,
)

SENT, DEFERRED, BOUNCED = Result.DELIVERED, Result.DEFERRED, Result.FAILED
PLAIN = Conduct(has_starttls=False)
SOON = timedelta(seconds=0.3)


def plain(**fields: object) -> Conduct:
    return Conduct(has_starttls=False, **fields)  # type: ignore[arg-type] # its own fields


def results(delivery: Delivery) -> dict[int, tuple[Result, str]]:
    return {item.number: (item.result, item.status) for item in delivery.outcomes}


LONG = "\r\n".join([*(f"250-2.0.0 line {number}" for number in range(60)), "250 2.0.0 Ok"])

ANSWERS: list[tuple[str, Conduct, Result, str]] = [
    ("421 at the banner", plain(answers={"banner": "421 4.3.2 busy"}), DEFERRED, "4.3.2"),
    ("554 at the banner", plain(answers={"banner": "554 5.7.1 go away"}), BOUNCED, "5.7.1"),
    ("a banner of 250", plain(answers={"banner": "250 what"}), DEFERRED, "4.5.0"),
    ("a banner that is no SMTP", plain(answers={"banner": "SSH-2.0-x"}), DEFERRED, "4.4.2"),
    ("closed at the banner", plain(answers={"banner": Act.CLOSE}), DEFERRED, "4.4.2"),
    ("reset at the banner", plain(answers={"banner": Act.RESET}), DEFERRED, "4.4.2"),
    ("450 to EHLO", plain(answers={"EHLO": "450 4.3.0 later"}), DEFERRED, "4.3.0"),
    ("closed at EHLO", plain(answers={"EHLO": Act.CLOSE}), DEFERRED, "4.4.2"),
    ("5yz to EHLO", plain(answers={"EHLO": "502 5.5.1 what"}), SENT, "2.0.0"),
    (
        "5yz to EHLO and HELO",
        plain(answers={"EHLO": "550 5.7.1 no", "HELO": "550 5.7.1 no"}),
        BOUNCED,
        "5.7.1",
    ),
    ("451 to MAIL", plain(answers={"MAIL": "451 4.3.0 later"}), DEFERRED, "4.3.0"),
    ("550 to MAIL", plain(answers={"MAIL": "550 5.7.1 not you"}), BOUNCED, "5.7.1"),
    ("closed at MAIL", plain(answers={"MAIL": Act.CLOSE}), DEFERRED, "4.4.2"),
    ("450 to RCPT", plain(answers={"RCPT": "450 4.2.0 greylisted"}), DEFERRED, "4.2.0"),
    ("550 to RCPT", plain(answers={"RCPT": "550 5.1.1 nobody"}), BOUNCED, "5.1.1"),
    ("451 to DATA", plain(answers={"DATA": "451 4.3.0 later"}), DEFERRED, "4.3.0"),
    ("554 to DATA", plain(answers={"DATA": "554 5.6.0 no"}), BOUNCED, "5.6.0"),
    ("closed at DATA", plain(answers={"DATA": Act.CLOSE}), DEFERRED, "4.4.2"),
    ("421 to RCPT", plain(answers={"RCPT": "421 4.7.0 slow down"}), DEFERRED, "4.7.0"),
    ("451 after the dot", plain(answers={".": "451 4.3.0 later"}), DEFERRED, "4.3.0"),
    ("554 after the dot", plain(answers={".": "554 5.7.1 spam"}), BOUNCED, "5.7.1"),
    ("closed after the dot", plain(answers={".": Act.CLOSE}), DEFERRED, "4.4.2"),
    ("reset after the dot", plain(answers={".": Act.RESET}), DEFERRED, "4.4.2"),
    ("a long 250", plain(answers={".": LONG}), SENT, "2.0.0"),
    ("no PIPELINING", plain(extensions=("8BITMIME",)), SENT, "2.0.0"),
    ("an unknown code", plain(answers={"RCPT": "299 fine"}), SENT, "2.0.0"),
]


@pytest.mark.parametrize("name", [name for name, *_ in ANSWERS])
async def test_what_an_answer_means(name: str, tmp_path: Path) -> None:
    """RFC 5321 §4.2.1, §4.3.2, §4.5.4.1."""
    conduct, result, status = next(row[1:] for row in ANSWERS if row[0] == name)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send()
    assert (only(delivery).result, only(delivery).status) == (result, status)
    assert len(server.seen.taken) == (result is SENT)
    assert len(delivery.attempts) == 1
    assert delivery.attempts[0].relay == f"{HOST}[{server.ip}]:{server.port}"


@pytest.mark.parametrize("step", ["banner", "EHLO", "MAIL", "RCPT", "DATA", "."])
async def test_a_host_that_falls_silent_is_waited_for_only_so_long(
    step: str, tmp_path: Path
) -> None:
    """RFC 5321 §4.5.3.2."""
    names = {"banner": "greeting", "EHLO": "helo", "DATA": "data_init", ".": "data_end"}
    conduct = plain(answers={step: Act.SILENCE}, extensions=())
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.timeouts = timeouts(**{names.get(step, step.lower()): SOON})
        delivery = await node.send()
    assert (only(delivery).result, only(delivery).status) == (DEFERRED, "4.4.2")
    assert "timed out" in only(delivery).reply


async def test_a_host_that_takes_no_content_is_waited_for_only_so_long(tmp_path: Path) -> None:
    """RFC 5321 §4.5.3.2.5."""
    conduct = plain(is_deaf_to_content=True, extensions=())
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.timeouts = timeouts(data_block=SOON, data_end=SOON)
        await node.save(content=b"x" * 70 + b"\r\n" + (b"y" * 998 + b"\r\n") * 12_000)
        delivery = await node.deliver()
    assert (only(delivery).result, only(delivery).status) == (DEFERRED, "4.4.2")
    assert "timed out" in only(delivery).reply


async def test_the_content_arrives_as_it_is_and_dots_are_doubled_on_the_way(tmp_path: Path) -> None:
    """RFC 5321 §4.5.2; rule 24."""
    content = b"Subject: x\r\n\r\n.\r\n..\r\n" + b".line\r\n" * 100_000
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        await node.save(content=content)
        assert only(await node.deliver()).result is SENT
    (mail,) = server.seen.taken
    assert mail.content == content
    assert (mail.sender, mail.recipients) == ("alice@example.org", (f"bob@{DOMAIN}",))


# Which host


async def test_the_next_host_is_tried_after_one_that_does_not_answer(tmp_path: Path) -> None:
    """RFC 5321 §5.1."""
    async with serving(PLAIN, PLAIN) as (first, second), sending(tmp_path, [first, second]) as node:
        node.resolver.set(HOST, "A", ip_address("127.255.255.254"))
        delivery = await node.send()
    assert only(delivery).result is SENT
    assert only(delivery).relay.startswith("mx2.")
    assert [item.relay.partition("[")[0] for item in delivery.attempts] == [HOST, "mx2.example.com"]
    assert "Connection refused" in delivery.attempts[0].summary


async def test_the_next_address_of_one_host_is_tried(tmp_path: Path) -> None:
    async with serving(PLAIN) as (server,), sending(tmp_path, [server]) as node:
        addresses = ip_address("127.255.255.254"), ip_address(server.ip)
        node.resolver.set(HOST, "A", *addresses)
        delivery = await node.send()
    assert only(delivery).result is SENT
    assert len(delivery.attempts) == 2


async def test_nothing_is_sent_to_the_next_host_when_the_first_took_it(tmp_path: Path) -> None:
    async with serving(PLAIN, PLAIN) as (first, second), sending(tmp_path, [first, second]) as node:
        await node.send()
    assert len(first.seen.taken) == 1
    assert second.seen.connections == 0


async def test_an_unproven_host_is_passed_over_for_one_that_is_proved(tmp_path: Path) -> None:
    wrong, right = Conduct(leaf(("wrong.example",))), Conduct(leaf(("mx2.example.com",)))
    async with serving(wrong, right) as servers, sending(tmp_path, servers) as node:
        node.level = Level.VERIFY
        delivery = await node.send()
    assert only(delivery).result is SENT
    assert [len(server.seen.mails) for server in servers] == [0, 1]
    assert [story["verdict"]["outcome"] for story in stories(delivery)] == [
        "defer",
        "authenticated",
    ]


async def test_a_permanent_refusal_by_a_host_counts_only_if_no_other_may_take_it(
    tmp_path: Path,
) -> None:
    """RFC 5321 §4.2.5: a client may go on after 5yz; what may pass elsewhere is waited for."""
    gone, busy = (
        plain(answers={"banner": "554 5.7.1 no"}),
        plain(answers={"banner": "421 4.3.2 busy"}),
    )
    async with serving(gone, busy) as servers, sending(tmp_path, servers) as node:
        assert only(await node.send()).result is DEFERRED
    async with serving(busy, gone) as servers, sending(tmp_path / "2", servers) as node:
        outcome = only(await node.send())
        assert (outcome.result, outcome.status) == (DEFERRED, "4.7.1")
    async with serving(gone, gone) as servers, sending(tmp_path / "3", servers) as node:
        outcome = only(await node.send())
        assert (outcome.result, outcome.status) == (BOUNCED, "5.7.1")


async def test_a_greylisting_host_is_not_forgotten_for_one_that_refuses_all(
    tmp_path: Path,
) -> None:
    """The first host says 450 to the recipient; the second wants nobody at all."""
    grey, gone = (
        plain(answers={"RCPT": "450 4.2.0 later"}),
        plain(answers={"banner": "554 5.7.1 no"}),
    )
    async with serving(grey, gone) as servers, sending(tmp_path, servers) as node:
        assert only(await node.send()).result is DEFERRED


async def test_two_sessions_that_leave_recipients_are_enough(tmp_path: Path) -> None:
    grey = plain(answers={"RCPT": "450 4.2.0 later"})
    async with serving(grey, grey, PLAIN) as servers, sending(tmp_path, servers) as node:
        delivery = await node.send()
    assert only(delivery).result is DEFERRED
    assert [server.seen.connections for server in servers] == [1, 1, 0]


async def test_only_who_was_deferred_is_sent_to_at_the_next_host(tmp_path: Path) -> None:
    first = plain(
        for_recipients={
            f"later@{DOMAIN}": "450 4.2.0 later",
            f"nobody@{DOMAIN}": "550 5.1.1 nobody",
        }
    )
    async with serving(first, PLAIN) as servers, sending(tmp_path, servers) as node:
        delivery = await node.send(f"now@{DOMAIN}", f"later@{DOMAIN}", f"nobody@{DOMAIN}")
    assert results(delivery) == {
        0: (SENT, "2.0.0"),
        1: (SENT, "2.0.0"),
        2: (BOUNCED, "5.1.1"),
    }
    assert [server.seen.taken[0].recipients for server in servers] == [
        (f"now@{DOMAIN}",),
        (f"later@{DOMAIN}",),
    ]
    bounced = next(item for item in delivery.outcomes if item.number == 2)
    assert "said: 550 5.1.1 nobody (in reply to RCPT TO command)" in bounced.reply
    assert bounced.remote == f"{HOST}[{servers[0].ip}]"
    assert bounced.diagnostic == "550 5.1.1 nobody"


# Names


async def test_a_null_mx_bounces(tmp_path: Path) -> None:
    """RFC 7505 §3; rule 106."""
    async with sending(tmp_path) as node:
        node.resolver.set(DOMAIN, "MX", MxRecord(0, None))
        delivery = await node.send()
    assert (only(delivery).result, only(delivery).status) == (BOUNCED, "5.1.10")
    assert delivery.attempts[0].relay == "none"


async def test_a_domain_that_does_not_exist_bounces(tmp_path: Path) -> None:
    """Rule 105."""
    async with sending(tmp_path) as node:
        assert results(await node.send()) == {0: (BOUNCED, "5.1.2")}


async def test_dns_that_fails_defers(tmp_path: Path) -> None:
    """Rule 105."""
    async with sending(tmp_path) as node:
        node.resolver.fail(DOMAIN, "MX")
        assert results(await node.send()) == {0: (DEFERRED, "4.4.3")}


async def test_an_mx_that_is_ourselves_is_a_loop(tmp_path: Path) -> None:
    """RFC 5321 §5.1; rule 107."""
    async with serving(PLAIN) as (server,), sending(tmp_path, [server]) as node:
        node.own_addresses = frozenset({server.ip})
        assert results(await node.send()) == {0: (BOUNCED, "5.4.6")}
    assert server.seen.connections == 0


async def test_a_domain_without_mx_is_its_own_host(tmp_path: Path) -> None:
    """RFC 5321 §5.1."""
    async with serving(PLAIN) as (server,), sending(tmp_path, [server]) as node:
        node.resolver.set(DOMAIN, "MX")
        node.resolver.set(DOMAIN, "A", ip_address(server.ip))
        assert only(await node.send()).relay.startswith(f"{DOMAIN}[")


async def test_a_host_whose_name_does_not_exist_leaves_the_others_refusal_as_it_is(
    tmp_path: Path,
) -> None:
    """It will not take the mail tomorrow either; a lookup that failed may."""
    gone = plain(answers={"banner": "554 5.7.1 no"})
    records = MxRecord(5, Domain("ghost.example.com")), MxRecord(10, Domain(HOST))
    async with serving(gone) as (server,), sending(tmp_path, [server]) as node:
        node.resolver.set(DOMAIN, "MX", *records)
        delivery = await node.send()
        assert results(delivery) == {0: (BOUNCED, "5.7.1")}
        assert [attempt.relay for attempt in delivery.attempts] == [
            "none",
            f"{HOST}[{server.ip}]:{server.port}",
        ]
    async with serving(gone) as (server,), sending(tmp_path / "2", [server]) as node:
        node.resolver.set(DOMAIN, "MX", *records)
        node.resolver.fail("ghost.example.com", "A")
        assert results(await node.send()) == {0: (DEFERRED, "4.7.1")}


async def test_what_a_host_said_is_a_better_reason_than_a_name_that_was_not_found(
    tmp_path: Path,
) -> None:
    grey = plain(answers={"RCPT": "450 4.2.0 greylisted"})
    async with serving(grey) as (server,), sending(tmp_path, [server]) as node:
        ghost = MxRecord(20, Domain("ghost.example.com"))
        node.resolver.set(DOMAIN, "MX", MxRecord(10, Domain(HOST)), ghost)
        outcome = only(await node.send())
    assert outcome.status == "4.2.0"
    assert "greylisted" in outcome.reply


# Policy


async def test_a_wrong_policy_entry_defers_the_mail_for_its_key_and_no_other(
    tmp_path: Path,
) -> None:
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        node.route([server], "example.net")
        node.entries[DOMAIN] = WrongEntry(DOMAIN, "tls_policy:3:example.com", "there is no level x")
        delivery = await node.send_and_settle()
        other = await node.send("bob@example.net")
    assert results(delivery) == {0: (DEFERRED, "4.7.5")}
    assert "tls_policy:3:example.com: there is no level x" in only(delivery).reply
    assert "there is no level x" in delivery.attempts[0].summary
    assert only(other).result is SENT
    assert len(server.seen.taken) == 1


async def test_a_trust_file_that_cannot_be_read_defers_the_mail_for_its_key(
    tmp_path: Path,
) -> None:
    missing = str(tmp_path / "missing.pem")
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        node.entries[DOMAIN] = TableEntry(
            DOMAIN, Level.VERIFY, "tls_policy:1", trust_files=(missing,)
        )
        delivery = await node.send()
    assert results(delivery) == {0: (DEFERRED, "4.7.5")}
    assert f"{missing}: No such file" in only(delivery).reply
    assert server.seen.connections == 0


async def test_settings_that_openssl_refuses_defer_before_anything_is_said(
    tmp_path: Path,
) -> None:
    """After the 220 to STARTTLS there would be no way back. Rule 4."""
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        node.entries[DOMAIN] = TableEntry(
            DOMAIN, Level.ENCRYPT, "tls_policy:1", ciphers="NO-SUCH-CIPHER"
        )
        delivery = await node.send()
    assert results(delivery) == {0: (DEFERRED, "4.7.5")}
    assert "NO-SUCH-CIPHER" in only(delivery).reply
    assert server.seen.connections == 0
    assert stories(delivery)[0]["requirement"]["level"] == "encrypt"


async def test_an_operators_trust_file_replaces_the_usual_anchors(tmp_path: Path) -> None:
    """Postfix's tafile: the certificate itself can be the anchor."""
    own = self_signed((HOST,), now=NOW)
    anchor = tmp_path / "own.pem"
    anchor.write_bytes(own.certificate_pem)
    async with serving(Conduct(own)) as (server,), sending(tmp_path, [server]) as node:
        node.entries[DOMAIN] = TableEntry(
            DOMAIN, Level.VERIFY, "tls_policy:1", trust_files=(str(anchor),)
        )
        assert only(await node.send()).result is SENT
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path / "2", [server]) as node:
        node.entries[DOMAIN] = TableEntry(
            DOMAIN, Level.VERIFY, "tls_policy:1", trust_files=(str(anchor),)
        )
        assert only(await node.send()).status == "4.7.5"
    assert not server.seen.mails


async def test_an_exception_holds_through_its_last_day_only(tmp_path: Path) -> None:
    """By the clock of the delivery (UTC), without a reload."""
    self_made = self_signed((HOST,), now=NOW)
    for days, outcome in ((0, "2.0.0"), (-1, "4.7.5")):
        conduct = Conduct(self_made)
        folder = tmp_path / str(days)
        async with serving(conduct) as (server,), sending(folder, [server]) as node:
            node.level = Level.VERIFY
            until = (node.clock.now() + timedelta(days=days)).date()
            node.entries[DOMAIN] = TableEntry(DOMAIN, Level.ENCRYPT, "table:1", until=until)
            assert only(await node.send()).status == outcome


async def test_an_address_as_next_hop_is_asked_for_no_sni(tmp_path: Path) -> None:
    """RFC 6066 §3."""
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        assert only(await node.send(f"bob@[{server.ip}]")).result is SENT
    assert server.seen.snis == [None]


async def test_tls_that_broke_after_the_handshake_is_no_judgement(tmp_path: Path) -> None:
    conduct = Conduct(leaf(), under_tls={"EHLO": Act.CLOSE})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.level = Level.VERIFY
        delivery = await node.send()
    assert results(delivery) == {0: (DEFERRED, "4.4.2")}
    assert not server.seen.mails
