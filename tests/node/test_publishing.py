"""What is known here of our domains: settings, certificates' files, and what the node keeps."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.node.certificate_stores import make_stores
from letterlock.node.publishing import (
    NOTHING_KEPT,
    Kept,
    describe_domain,
    find_chains,
    load_kept,
    make_policy,
)
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.publish.policies import OwnPolicies
from letterlock.storage.certificate_files import CertificateFiles
from letterlock.storage.certificates import CertificateId, KeptPair, RollOver, RollOverStage
from tests.fakes import START, FakeClock, FakeLog, FixtureResolver
from tests.network.certificates import issue, write_pair
from tests.services.publish.own import DOMAIN, HOST, leaf

PUBLIC, PUBLIC6 = IPv4Address("198.41.0.4"), IPv6Address("2001:503:ba3e::2:30")
DAY = timedelta(days=1)


def settings(folder: Path, more: str = "") -> Config:
    return parse_config(
        f"""
hostname = "{HOST}"
domains = ["{DOMAIN}"]
contact = "postmaster@{DOMAIN}"
data_dir = "{folder / "data"}"
{more}
""",
        folder / "letterlock.toml",
    )


def describe(config: Config, kept: Kept = NOTHING_KEPT, *outgoing: Any) -> Any:
    return describe_domain(config, DOMAIN, (), kept, START, lambda: outgoing)


def with_certificates(folder: Path, *issued: Issued) -> Config:
    pairs = [write_pair(folder, each, f"pair{number}") for number, each in enumerate(issued)]
    listed = ", ".join(f'{{certificate = "{chain}", key = "{key}"}}' for chain, key in pairs)
    return settings(folder, f"tls.certificates = [{listed}]")


@pytest.mark.parametrize(
    ("more", "outgoing", "expected"),
    [
        ("", (PUBLIC, PUBLIC6), (PUBLIC, PUBLIC6)),
        ("", (IPv4Address("10.0.0.1"),), ()),
        ("publishing.addresses = ['192.0.2.1']", (PUBLIC,), (IPv4Address("192.0.2.1"),)),
        ("receive.listen = ['198.41.0.4:25', '127.0.0.1:25']", (PUBLIC6,), (PUBLIC,)),
        ("receive.listen = ['0.0.0.0:25']", (PUBLIC, PUBLIC6), (PUBLIC,)),
        (
            "deliver.own_addresses = ['198.41.0.4']",
            (IPv4Address("192.168.1.2"),),
            (PUBLIC,),
        ),
    ],
)
def test_addresses_are_those_that_the_internet_reaches(
    more: str, outgoing: tuple[Any, ...], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    own = describe(settings(tmp_path, more), NOTHING_KEPT, *outgoing)
    assert own.hosts[0].addresses == expected


def test_settings_say_the_rest(tmp_path: Path) -> None:
    more = f"""
[publishing]
mx_hosts = ["{HOST}", "mx2.example.org"]
tls_reports = ["mailto:tls@example.org"]
[publishing.mta_sts]
domains = ["{DOMAIN}"]
mode = "enforce"
[deliver]
source_ipv4 = "192.0.2.7"
relayhost = "[relay.example]"
"""
    own = describe(settings(tmp_path, more))
    assert [(host.name, host.is_here) for host in own.hosts] == [
        (HOST, True),
        ("mx2.example.org", False),
    ]
    assert own.policy == MtaStsPolicy(MtaStsMode.ENFORCE, (HOST, "mx2.example.org"), 14 * DAY)
    assert own.tls_reports == ("mailto:tls@example.org",)
    assert own.senders == (IPv4Address("192.0.2.7"),)
    assert own.is_relayed
    assert own.certificate_names == (HOST, f"mta-sts.{DOMAIN}")


def test_patterns_of_the_policy_can_be_given(tmp_path: Path) -> None:
    more = "publishing.mta_sts.mx = ['*.Example.org']"
    assert make_policy(settings(tmp_path, more)).mx == ("*.example.org",)


def test_chains_are_those_that_a_client_gets(tmp_path: Path) -> None:
    """One for each type of key, of the exact name before a wildcard."""
    other, wild = issue(("other.example",)), issue(("*.example.org",))
    rsa = issue((HOST,), "rsa")
    config = with_certificates(tmp_path, other, wild, leaf(), rsa)
    assert find_chains(config) == (leaf().chain_der, rsa.chain_der)
    assert find_chains(with_certificates(tmp_path, other, wild)) == (wild.chain_der,)
    assert find_chains(with_certificates(tmp_path, other)) == (other.chain_der,)
    assert find_chains(settings(tmp_path)) == ()


def test_chain_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    config = with_certificates(tmp_path, leaf())
    (tmp_path / "pair0.pem").unlink()
    with pytest.raises(LocalError, match=r"pair0\.pem"):
        find_chains(config)


def test_chains_that_the_node_got_for_itself_count(tmp_path: Path) -> None:
    config = settings(
        tmp_path, "certificates.authorities = [{directory = 'https://ca.example/dir'}]"
    )
    files = CertificateFiles(config.certificates_dir)
    own = issue(("self.example",))
    files.write_self_signed(KeptPair(own.chain_pem, own.key_pem))
    assert find_chains(config) == (own.chain_der,)
    files.write(CertificateId(HOST, KeyType.ECDSA), KeptPair(leaf().chain_pem, leaf().key_pem))
    assert find_chains(config) == (leaf().chain_der,)


async def test_where_no_node_ever_was_nothing_is_kept_or_made(tmp_path: Path) -> None:
    config = settings(tmp_path)
    assert await load_kept(config, DOMAIN, FixtureResolver(), FakeClock()) == NOTHING_KEPT
    assert not config.data_dir.exists()


async def test_policies_that_were_served_are_found(tmp_path: Path) -> None:
    """RFC 8461 §5.1; rule 150"""
    config, clock = settings(tmp_path), FakeClock()
    await serve_for_a_day(
        config, clock, MtaStsPolicy(MtaStsMode.ENFORCE, ("old.example",), 14 * DAY)
    )
    kept = await load_kept(config, DOMAIN, FixtureResolver(), clock)
    (served,) = kept.served
    assert served.policy.mx == ("old.example",)
    own = describe_domain(config, DOMAIN, (), kept, clock.now(), lambda: ())
    assert own.held_hosts == {HOST: served.held_until}
    assert kept.notes == ()


async def test_keys_of_a_roll_over_are_found(tmp_path: Path) -> None:
    """RFC 7671 §8.1; rule 141"""
    config, clock = (
        settings(tmp_path, "certificates.authorities = [{directory = 'https://ca.example/dir'}]"),
        FakeClock(),
    )
    key = sha256(b"next").digest()
    await keep_roll_over(config, RollOver(RollOverStage.KEY_MADE, b"pem", key, START))
    host = describe(config, await load_kept(config, DOMAIN, FixtureResolver(), clock)).hosts[0]
    assert (host.next_keys, host.past_keys) == ((key,), ())
    await keep_roll_over(config, RollOver(RollOverStage.SWITCHED, b"", key, START))
    host = describe(config, await load_kept(config, DOMAIN, FixtureResolver(), clock)).hosts[0]
    assert (host.next_keys, host.past_keys) == ((), (key,))


async def test_authority_that_does_not_answer_leaves_a_note(tmp_path: Path) -> None:
    directory = "https://ca.example/dir"
    config = settings(tmp_path, f"certificates.authorities = [{{directory = '{directory}'}}]")
    stores = make_stores(config, "node1", FakeClock())
    await stores.database.open()
    await stores.accounts.add_account(directory, b"key", START)
    await stores.accounts.note_account(directory, b"key", "https://ca.example/acct/1")
    await stores.database.close()
    kept = await load_kept(config, DOMAIN, FixtureResolver(), FakeClock())
    assert kept.accounts == ()
    (note,) = kept.notes
    assert note.startswith(f"CAA: not known, since {directory} fails: ")


async def test_store_that_cannot_be_read_leaves_a_note(tmp_path: Path) -> None:
    config = settings(tmp_path)
    config.data_dir.mkdir()
    config.node_database.write_bytes(b"no database" * 100)
    kept = await load_kept(config, DOMAIN, FixtureResolver(), FakeClock())
    assert kept == replace(NOTHING_KEPT, notes=kept.notes)
    (note,) = kept.notes
    assert "cannot be read by this command" in note


async def test_what_cannot_be_seen_is_told_or_left_out(tmp_path: Path) -> None:
    more = "certificates.authorities = [{directory = 'https://ca.example/dir'}]"
    config = settings(tmp_path, more)
    # A file where a folder should be: what is behind it can't be seen.
    config.data_dir.write_text("")
    with pytest.raises(LocalError, match="Not a directory"):
        find_chains(config)
    (note,) = (await load_kept(config, DOMAIN, FixtureResolver(), FakeClock())).notes
    assert note.endswith("node.sqlite: Not a directory")


async def serve_for_a_day(config: Config, clock: FakeClock, policy: MtaStsPolicy) -> None:
    stores = make_stores(config, "node1", clock)
    await stores.database.open()
    await OwnPolicies([Domain(DOMAIN)], policy, stores.served, clock, FakeLog()).note()
    await stores.database.close()
    clock.move(DAY)


async def keep_roll_over(config: Config, roll_over: RollOver) -> None:
    stores = make_stores(config, "node1", FakeClock())
    await stores.database.open()
    which = CertificateId(HOST, KeyType.ECDSA)
    lease = await stores.certificates.claim(which, START, START + DAY)
    assert lease is not None
    assert await stores.certificates.settle(lease, replace(lease.state, rollover=roll_over))
    await stores.database.close()
