"""`letterlock user`: accounts, beside a running node or without one."""

import asyncio
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.cli.root import main
from letterlock.protocols.sasl.password_hash import is_password
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.users import SqliteUsers
from letterlock.storage.users import User


@dataclass
class Desk:
    """A node's configuration, and what is typed."""

    file: Path
    database: Path
    patch: pytest.MonkeyPatch

    def run(self, *arguments: str, typed: bytes = b"") -> int:
        self.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        return main(["user", *arguments, "--config", str(self.file)])

    async def find(self, name: str) -> User | None:
        database = NodeDatabase(self.database, SystemClock())
        await database.open()
        try:
            return await SqliteUsers(database).find_user(name)
        finally:
            await database.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    file = tmp_path / "letterlock.toml"
    file.write_text(
        'hostname = "mx1.example.org"\ndomains = ["example.org"]\n'
        f'contact = "postmaster@example.org"\ndata_dir = "{tmp_path}/data"\n'
    )
    return Desk(file, tmp_path / "data" / "node.sqlite", monkeypatch)


async def _find(desk: Desk, name: str) -> User:
    user = await desk.find(name)
    assert user is not None
    return user


def run_async(desk: Desk, name: str) -> User:
    return asyncio.run(_find(desk, name))


def test_add_reads_the_password_from_standard_input(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.run("add", "Alice", typed="pässword\r\nmore".encode()) == 0
    assert capsys.readouterr().out == "added alice: sends as alice@example.org\n"
    user = run_async(desk, "alice")
    assert user.password_hash is not None
    assert is_password("pässword", user.password_hash)
    assert user.scram is not None


def test_the_node_s_database_is_for_its_user_only(desk: Desk) -> None:
    desk.run("add", "alice", typed=b"secret\n")
    assert desk.database.stat().st_mode & 0o077 == 0


def test_add_takes_addresses_and_limits(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--address", "a@example.org", "--address", "@example.com", "--limits", "5", "-1")
    assert desk.run("add", "alice", *arguments, "--no-scram", "--json", typed=b"secret\n") == 0
    user = json.loads(capsys.readouterr().out)["user"]
    assert user.pop("created").endswith("Z")
    assert user == {
        "name": "alice",
        "addresses": ["a@example.org", "@example.com"],
        "has_password": True,
        "has_scram": False,
        "max_messages": 5,
        "max_recipients": None,
        "disabled": False,
    }


def test_an_account_without_a_password_is_for_another_source(desk: Desk) -> None:
    assert desk.run("add", "alice", "--no-password") == 0
    assert run_async(desk, "alice").password_hash is None


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "says"),
    [
        (("add", "alice"), b"", 2, "user add: the password is empty"),
        (("add", "alice"), b"\xff\n", 2, "the password is not UTF-8"),
        (("add", "alice"), b"a" * 2000, 2, "the password has more than 255 octets"),
        (("add", "a b"), b"secret\n", 2, "'a b': a name has no spaces"),
        (("add", "a", "--address", "b"), b"secret\n", 2, "'b' is no address to send as"),
        (("add", "ALICE2"), b"secret\n", 1, "alice2: there is such an account"),
        (("change", "bob", "--enable"), b"", 1, "bob: there is no such account"),
        (("change", "\u0007"), b"", 1, "there is no such account"),
        (("change", "alice2", "--no-scram"), b"", 2, "--no-scram goes with --password"),
        (("change", "alice2", "--address", "b"), b"", 2, "user change: 'b' is no address"),
        (("delete", "bob", "eve"), b"", 1, "bob: there is no such account"),
    ],
)
def test_mistakes_are_told_in_one_line(
    desk: Desk,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    typed: bytes,
    code: int,
    says: str,
) -> None:
    desk.run("add", "alice2", typed=b"secret\n")
    capsys.readouterr()
    assert desk.run(*arguments, typed=typed) == code
    assert says in capsys.readouterr().err


def test_change_changes_what_it_names(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.run("add", "alice", typed=b"secret\n")
    before = run_async(desk, "alice")
    assert desk.run("change", "Alice", "--disable", "--limits", "0", "3") == 0
    assert "(disabled, 3 recipients an hour)" in capsys.readouterr().out
    after = run_async(desk, "alice")
    assert (after.is_disabled, after.max_messages, after.max_recipients) == (True, 0, 3)
    assert after.password_hash == before.password_hash
    assert desk.run("change", "alice", "--password", "--enable", "--json", typed=b"other\n") == 0
    changed = run_async(desk, "alice")
    assert changed.password_hash is not None
    assert is_password("other", changed.password_hash)
    assert not changed.is_disabled


def test_list_has_all_accounts(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run("list") == 0
    assert "no accounts" in capsys.readouterr().out
    for name in ("bob", "alice"):
        desk.run("add", name, "--no-password")
    capsys.readouterr()
    assert desk.run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{name}: sends as {name}@example.org (no password here)" for name in ("alice", "bob")
    ]
    assert desk.run("list", "--json") == 0
    users = json.loads(capsys.readouterr().out)["users"]
    assert [user["name"] for user in users] == ["alice", "bob"]


def test_delete_deletes(desk: Desk) -> None:
    desk.run("add", "alice", "--no-password")
    assert desk.run("delete", "ALICE") == 0
    assert desk.run("delete", "alice") == 1


def test_at_a_terminal_the_password_is_asked_for_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["secret", "secret"])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: next(answers))
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: next(answers))

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["user", "add", "alice", "--config", str(desk.file)]) == 0
    user = run_async(desk, "alice")
    assert user.password_hash is not None
    assert is_password("secret", user.password_hash)
    assert list(answers) == []
