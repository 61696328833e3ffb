"""A null MX is to be known where all else says the same, and a fault where something does not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from letterlock.protocols.dns.answers import MxRecord, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode
from tests.services.publish.own import DOMAIN, HOST, IPV4, KEY, POLICY
from tests.services.publish.world import World

STS, TLSRPT, DMARC = (f"{label}.{DOMAIN}" for label in ("_mta-sts", "_smtp._tls", "_dmarc"))
NULL = MxRecord(0, None)

Change = Callable[[World], None]


def make_silent_world() -> World:
    """Give a domain that takes and sends no mail, and says so as RFC 7505 has it."""
    world = World()
    world.set(DOMAIN, "MX", NULL)
    world.set(DOMAIN, "TXT", "v=spf1 -all")
    world.set(DMARC, "TXT", "v=DMARC1; p=reject")
    for name in (STS, TLSRPT):
        world.remove(name, "TXT")
    return world


def with_policy(mode: MtaStsMode | None) -> Change:
    """Publish the record, and a policy; None: it can't be fetched."""

    def change(world: World) -> None:
        world.set(STS, "TXT", "v=STSv1; id=1")
        world.policies.policies.clear()
        if mode is not None:
            world.serve(replace(POLICY, mode=mode))

    return change


async def find_mx(world: World, *, is_ours: bool = False) -> list[str]:
    return [each for each in await world.find_codes(is_ours=is_ours) if " mx-" in each]


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.remove(DOMAIN, "TXT"),
        lambda world: world.set(DOMAIN, "A", IPV4),  # §1: nothing is tried there
        lambda world: world.set(DOMAIN, "TXT", "other", "V=SPF1  -ALL "),
        with_policy(MtaStsMode.NONE),  # RFC 8461 §8.3: an earlier one is taken back
    ],
)
async def test_where_nothing_speaks_against_it_a_null_mx_is_to_be_known(change: Change) -> None:
    """RFC 7505 §3"""
    world = make_silent_world()
    change(world)
    assert await find_mx(world) == [f"note mx-null {DOMAIN}"]


async def test_what_protects_mail_that_comes_in_is_not_asked_for_where_none_does() -> None:
    """RFC 7505 §3: no policy is missing, nor reports; nor an SPF record that lets hosts send."""
    found = await make_silent_world().find_codes(is_ours=False)
    assert found == [f"note mx-null {DOMAIN}"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w.set(DOMAIN, "MX", NULL, MxRecord(10, None)), "where it has to be the only"),
        (lambda w: w.set(DOMAIN, "MX", MxRecord(10, None)), "its preference is not 0"),
        (with_policy(MtaStsMode.ENFORCE), "an MTA-STS policy"),
        (with_policy(MtaStsMode.TESTING), "an MTA-STS policy"),
        (with_policy(None), "an MTA-STS policy"),
        (lambda w: w.set(TLSRPT, "TXT", "v=TLSRPTv1; rua=mailto:a@example.org"), "asks for report"),
        (
            lambda w: w.set(f"_25._tcp.{DOMAIN}", "TLSA", TlsaRecord(3, 1, 1, bytes.fromhex(KEY))),
            f"TLSA records at _25._tcp.{DOMAIN}",
        ),
        (lambda w: w.set(DOMAIN, "TXT", "v=spf1 a -all"), "lets hosts send mail"),
        (lambda w: w.set(DOMAIN, "TXT", "v=spf1 ?all"), "lets hosts send mail"),
    ],
)
async def test_what_speaks_against_it_makes_it_a_fault(change: Change, reason: str) -> None:
    """RFC 7505 §3, §4.2"""
    world = make_silent_world()
    change(world)
    report = await world.check(is_ours=False)
    (found,) = (each for each in report.findings if each.code == "mx-null")
    assert found.severity == "error"
    assert reason in found.text


async def test_a_domain_of_ours_is_one_with_mail() -> None:
    """RFC 7505 §3: what is in `domains` is lost."""
    world = make_silent_world()
    assert await find_mx(world, is_ours=True) == [f"error mx-null {DOMAIN}"]


async def test_a_null_mx_beside_others_is_a_fault_of_its_own() -> None:
    """RFC 7505 §3: a domain that has one must not have any other MX record."""
    world = make_silent_world()
    world.set(DOMAIN, "MX", NULL, MxRecord(10, HOST))
    assert await find_mx(world) == [f"error mx-null-beside {DOMAIN}"]


async def test_that_nobody_sends_mail_of_it_is_to_be_said_too() -> None:
    """RFC 7505 §4.2"""
    world = make_silent_world()
    world.set(DOMAIN, "TXT")
    report = await world.check(is_ours=False)
    (missing,) = (each for each in report.findings if each.code == "spf-missing")
    assert missing.severity == "warning"
    assert missing.fix == f'add the TXT record "v=spf1 -all" to {DOMAIN}'
