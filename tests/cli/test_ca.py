"""`letterlock ca list, revoke, halt, resume, account-key, unpause, root-crl`: what they say."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.clock import SystemClock, format_time
from letterlock.base.config.load import load_config
from letterlock.cli.root import main
from letterlock.node.ca.own_certificate import make_own_profile
from letterlock.node.ca.rules import find_port, make_places
from letterlock.node.ca.stores import open_store
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.server.nonces import LIFETIME, SKEW, GoodNonce
from letterlock.protocols.acme.server.objects import ExternalBinding
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.services.ca.own_certificates import issue_own
from letterlock.services.ca.requests.limits import count_in_a_row
from letterlock.storage.ca.changes import AddAccount, AddPause, ChangeCounter
from letterlock.storage.ca.kept import PausedName
from tests.authority_running import AuthorityFiles, InnerSettings, inner_authority
from tests.fakes import FakeClock
from tests.storage.authorities import KEYS, make_account

ACCOUNT = "an-account-id-00"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> AuthorityFiles:
    """An authority that has issued two certificates, and does not run."""
    folder = tmp_path_factory.mktemp("ca")
    files = AuthorityFiles(folder, hostname="ca.example")

    async def prepare() -> None:
        clock = FakeClock(SystemClock().now())
        async with inner_authority(folder, InnerSettings(), clock) as inner:
            for name in ("one.example", "two.example"):
                await issue_own(inner.assembled.tools, name, make_own_profile(NameRules()))

    asyncio.run(prepare())
    files.change("ca", url="https://ca.example/acme")
    files.write()
    return files


class Commands:
    """What commands give for one authority."""

    def __init__(self, files: AuthorityFiles, capsys: pytest.CaptureFixture[str]) -> None:
        self.files = files
        self._capsys = capsys

    def run(self, *words: str, code: int = 0) -> str:
        """Run one; gives what it says, on standard error where it failed."""
        assert main(["ca", *words, "--config", str(self.files.config)]) == code
        said = self._capsys.readouterr()
        return said.err if code else said.out

    def ask(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture
def commands(files: AuthorityFiles, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(files, capsys)


def test_certificates_are_listed(commands: Commands) -> None:
    listed = commands.ask("list")["certificates"]
    assert [each["names"] for each in listed] == [["one.example"], ["two.example"]]
    text = commands.run("list", "--name", "two.example")
    assert text.startswith(f"{listed[1]['serial']}  {listed[1]['not_after']}  valid    two.example")
    assert commands.run("list", "--account", "nobody") == ""
    assert "--name 'no name': a name, a wildcard, or an IP address" in commands.run(
        "list", "--name", "no name", code=2
    )


def test_one_is_revoked_and_stays_so(commands: Commands) -> None:
    (listed,) = commands.ask("list", "--name", "one.example")["certificates"]
    said = commands.run("revoke", listed["serial"], "--reason", "superseded")
    assert said.startswith(f"{listed['serial']}: revoked at ")
    (again,) = commands.ask("list", "--name", "one.example", "--all")["certificates"]
    assert again["status"] == "revoked"
    found = commands.ask("revoke", listed["serial"])
    assert found["certificate"]["revoked"] == again["revoked"]
    assert "our authority issued no such certificate" in commands.run("revoke", "0badc0de", code=1)
    assert "and no file" in commands.run("revoke", "xyz", code=2)


def test_nonces_count_again_after_a_clock_that_was_far_ahead(commands: Commands) -> None:
    assert commands.run("nonces", "reset") == "nonces of now count: there is nothing to reset\n"
    now = SystemClock().now()

    async def be_ahead() -> None:
        async with open_store(load_config(commands.files.config), SystemClock()) as store:
            for days in (365, 366):
                ahead = now + timedelta(days=days)
                nonce = GoodNonce(days.to_bytes(16), ahead + LIFETIME + SKEW)
                assert await store.spend_nonce(nonce, ahead)

    asyncio.run(be_ahead())
    said = commands.run("nonces", "reset")
    until = format_time(now + timedelta(days=365))
    assert said.startswith(f"nonces count again, which would have been refused until {until}; ")
    assert "restart each `ca serve`" in said
    assert commands.ask("nonces", "reset") == {"reset": False, "refused_until": None}


def test_issuance_is_halted_and_goes_on(commands: Commands) -> None:
    assert "a fault is looked for" in commands.run("halt", "--why", "a fault is looked for")
    # Who halts what is halted is told why it is.
    assert commands.ask("halt", "--why", "another reason")["why"] == "a fault is looked for"
    assert commands.run("resume") == "issuing\n"
    assert commands.ask("resume")["halted"] is False


def test_a_key_for_an_account_is_shown_and_each_is_another(commands: Commands) -> None:
    first, second = (commands.ask("account-key", "alice") for _ in range(2))
    assert first["key_id"].startswith("alice:")
    assert first["key_id"] != second["key_id"]
    assert first["key"] != second["key"]
    assert first["key_id"].split(":")[0] in commands.run("account-key", "alice")
    assert "NAME 'a b': a name of letters" in commands.run("account-key", "a b", code=2)


def test_a_key_is_listed_and_taken_back(commands: Commands) -> None:
    made = commands.ask("account-key", "make", "list")["key_id"]
    assert made.startswith("list:")
    (listed,) = [
        each for each in commands.ask("account-key", "list")["keys"] if each["key_id"] == made
    ]
    assert (listed["revoked"], listed["accounts"]) == (None, [])
    assert f"{made}  {listed['made']}  good     0 accounts\n" in commands.run("account-key", "list")
    said = commands.run("account-key", "revoke", made)
    assert said.startswith(f"{made}: taken back at ")
    again = commands.ask("account-key", "revoke", made)
    assert said == f"{made}: taken back at {again['revoked']}; it binds no account any more\n"
    assert again == listed | {"revoked": again["revoked"], "known": True}
    assert f"{made}  {listed['made']}  revoked  0 accounts\n" in commands.run("account-key", "list")


def test_a_key_that_nobody_noted_is_taken_back_with_a_word_on_it(commands: Commands) -> None:
    """Earlier releases gave keys out without a note; or its identifier is written wrongly."""
    assert commands.ask("account-key", "revoke", "bob:abcd")["known"] is False
    error = commands.run("account-key", "revoke", "bob", code=2)
    assert "ID 'bob': no key identifier, which is as alice:Zz9jH1wvC9Xs" in error


def test_accounts_of_a_key_are_named(commands: Commands) -> None:
    config, clock = load_config(commands.files.config), SystemClock()
    account = replace(make_account(), external=ExternalBinding("eve:abcd", ()))

    async def open_account() -> None:
        async with open_store(config, clock) as store:
            assert await store.commit([AddAccount(account)])

    asyncio.run(open_account())
    assert "eve:abcd  before keys were listed  good     1 account\n" in commands.run(
        "account-key", "list"
    )
    said = commands.run("account-key", "revoke", "eve:abcd").splitlines()
    assert said[1] == "account account-1 (valid) was bound by it, and goes on"


def test_an_account_is_listed_and_closed(commands: Commands) -> None:
    """By its id, which may begin with a hyphen, or its URL; for good."""
    config, clock = load_config(commands.files.config), SystemClock()
    places = make_places(config, find_port(config))
    opened = [
        replace(
            make_account(account_id, KEYS[number]),
            external=ExternalBinding(f"dan:{number}", ()),
        )
        for number, account_id in ((1, "-Th-an-account-id"), (2, "an-account-id-02"))
    ]

    async def open_accounts() -> None:
        async with open_store(config, clock) as store:
            assert await store.commit([AddAccount(each) for each in opened])

    asyncio.run(open_accounts())
    one, two = (each.id for each in opened)
    listed = {each["id"]: each for each in commands.ask("account", "list")["accounts"]}
    assert listed[one] == {
        "id": one,
        "status": "valid",
        "contacts": ["mailto:a@example.org"],
        "key_id": "dan:1",
    }
    line = f"{one}  valid        mailto:a@example.org  bound by dan:1\n"
    assert line in commands.run("account", "list")
    said = commands.run("account", "close", one)
    assert said.startswith(f"{one}: revoked; orders that ended: 0\nit was bound by dan:1: see ")
    found = commands.ask("account", "close", places.account(two))
    counts = {"ended_orders": 0, "certificates": 0}
    assert found == listed[two] | {"status": "revoked"} | counts
    assert commands.ask("account", "close", two) == found
    assert commands.ask("list", "--account", one) == {"certificates": []}
    assert not {one, two} & {each["id"] for each in commands.ask("account", "list")["accounts"]}
    assert f"{one}  revoked      mailto:" in commands.run("account", "list", "--all")


def test_an_account_that_is_none_is_not_closed(commands: Commands) -> None:
    assert "our authority has no such account" in commands.run("account", "close", ACCOUNT, code=1)
    for word in ("https://other.example/account/an-account-id-01", "x"):
        error = commands.run("account", "close", word, code=2)
        assert f"URL|ID {word!r}: neither an account's id nor its URL here" in error


def test_a_paused_name_may_be_ordered_again(commands: Commands) -> None:
    config, clock = load_config(commands.files.config), SystemClock()
    name = parse_identifier("a.example")

    async def pause() -> None:
        async with open_store(config, clock) as store:
            counter = count_in_a_row(ACCOUNT, name)
            full = replace(counter, empty_at=clock.now() + timedelta(days=3000))
            steps = (AddPause(PausedName(ACCOUNT, name, clock.now())), ChangeCounter(counter, full))
            assert await store.commit(steps)

    asyncio.run(pause())
    assert "may order it again" in commands.run("unpause", ACCOUNT, "a.example")
    for account in (ACCOUNT, "-Th-an-account-id"):
        assert f"it is not paused for account {account}" in commands.run(
            "unpause", account, "a.example", code=1
        )
    assert "NAME 'a b'" in commands.run("unpause", ACCOUNT, "a b", code=2)
    asyncio.run(pause())
    assert commands.ask("unpause", ACCOUNT, "a.example") == {
        "account": ACCOUNT,
        "name": "a.example",
    }


def test_the_root_s_crl_is_signed_again(commands: Commands) -> None:
    keys = commands.files.keys
    safe = ("--key", str(keys / "root.key"), "--passphrase-file", str(keys / "root.passphrase"))
    first = commands.ask("root-crl", *safe)
    assert f"CRL {first['number'] + 1} of the root counts until" in commands.run("root-crl", *safe)
    other = ("--key", str(keys / "issuing.key"), "--passphrase-file", str(keys / "root.key"))
    assert "issuing.key: no key could be read" in commands.run("root-crl", *other, code=2)


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path, commands: Commands) -> None:
    broken = AuthorityFiles(tmp_path, hostname="ca.example")
    broken.write()
    broken.keys.mkdir(parents=True)
    broken.root.write_bytes(commands.files.root.read_bytes())
    (broken.keys / "issuing.pem").write_bytes((commands.files.keys / "issuing.pem").read_bytes())
    (broken.keys / "authority.db").mkdir()
    commands.files = broken
    assert "authority.db" in commands.run("list", code=3)
