"""What an operator's commands do with the store of an authority."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.errors import LocalError
from letterlock.node.ca import commands
from letterlock.node.ca.own_certificate import make_own_profile
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.own_certificates import OWN_ACCOUNT, issue_own
from letterlock.services.ca.requests.limits import count_in_a_row
from letterlock.storage.ca.changes import AddPause, ChangeCounter
from letterlock.storage.ca.kept import PausedName
from tests.authority_running import InnerAuthority, inner_authority

PROFILE = make_own_profile(NameRules())


async def names_of(inner: InnerAuthority, wanted: commands.Wanted) -> list[str]:
    found = commands.list_certificates(inner.store, wanted, inner.clock)
    return [each.certificate.identifiers[0].value async for each in found]


async def test_certificates_are_found_by_number_by_file_by_name_and_by_account(
    tmp_path: Path,
) -> None:
    async with inner_authority(tmp_path) as inner:
        pair = await issue_own(inner.assembled.tools, "one.example", PROFILE)
        await issue_own(inner.assembled.tools, "two.example", PROFILE)
        file = tmp_path / "one.pem"
        file.write_bytes(pair.chain_pem)
        found = await commands.find_issued(inner.config, inner.store, str(file))
        assert found is not None
        number = f"{found.certificate.name.serial:x}"
        assert await commands.find_issued(inner.config, inner.store, number) == found
        assert await commands.find_issued(inner.config, inner.store, "0badc0de") is None
        with pytest.raises(LocalError, match="not a serial number in hexadecimal, and no file"):
            await commands.find_issued(inner.config, inner.store, "no such file")
        everything = commands.Wanted(account=OWN_ACCOUNT)
        assert await names_of(inner, everything) == ["one.example", "two.example"]
        assert await names_of(inner, commands.Wanted(account="another")) == []
        by_name = commands.Wanted(commands.identify("two.example"))
        assert await names_of(inner, by_name) == ["two.example"]
        await commands.revoke(inner.store, found, Reason.SUPERSEDED, inner.clock)
        assert await names_of(inner, commands.Wanted()) == ["two.example"]
        inner.clock.move(timedelta(days=100))
        assert await names_of(inner, commands.Wanted()) == []
        assert len(await names_of(inner, commands.Wanted(has_ended=True))) == 2


async def test_who_revokes_is_in_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    monkeypatch.setenv("SUDO_USER", "alice")
    async with inner_authority(tmp_path) as inner:
        await issue_own(inner.assembled.tools, "one.example", PROFILE)
        (listed,) = await inner.store.list_certificates(0, 10)
        done = await commands.revoke(inner.store, listed.issued, Reason.KEY_COMPROMISE, inner.clock)
        assert done.issued.certificate.is_key_compromised
        assert done.others == 0
        assert await inner.store.find_blocked_key(listed.issued.spki_sha256) is not None
        records = await inner.store.list_records(0, 100, kind="revocation")
        assert '"by":"operator root (alice)"' in records[0].document


async def test_a_paused_name_may_be_ordered_again(tmp_path: Path) -> None:
    async with inner_authority(tmp_path) as inner:
        name, account = parse_identifier("a.example"), "an-account-id-00"
        counter = count_in_a_row(account, name)
        full = replace(counter, empty_at=inner.clock.now() + timedelta(days=3599))
        pause = PausedName(account, name, inner.clock.now())
        assert await inner.store.commit([AddPause(pause), ChangeCounter(counter, full)])
        wildcard = commands.identify("*.a.example")
        assert not await commands.unpause(inner.store, "another-account-0", wildcard)
        assert await commands.unpause(inner.store, account, wildcard)
        assert not await commands.unpause(inner.store, account, wildcard)
        assert await inner.store.load_counters([counter]) == (counter,)
