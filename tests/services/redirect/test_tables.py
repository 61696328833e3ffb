"""The tables of `[maps]`, from their files."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.config.maps import MapsSection, parse_delimiter
from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import Mailbox, parse_mailbox
from letterlock.protocols.tables.expansion import Expanded, Loop, Unusable
from letterlock.protocols.tables.lines import Entry, WrongEntry
from letterlock.protocols.tables.transport import Discard
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.redirect import tables as module
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import FILE_SETTINGS, TableFiles, Tables
from tests.fakes import FakeClock


class Scene:
    """A folder of tables, and what was told of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.told: list[str] = []
        self.section = MapsSection()
        self._age = 1000.0
        self._files: TableFiles | None = None
        self.directory: LocalDirectory | None = None

    def write(self, name: str, text: str) -> Path:
        """Write a file that has been left alone; a table is named in the settings."""
        path = self.folder / name
        path.write_text(text)
        self._age -= 1
        moment = self.clock.now().timestamp() - self._age
        os.utime(path, (moment, moment))
        if name in FILE_SETTINGS:
            changed: dict[str, Any] = {name: path}
            self.section = replace(self.section, **changed)
        return path

    def load(self) -> Tables:
        """Give the tables, after a while."""
        if self._files is None:
            ours = (Domain("x.test"), Domain("y.test"))
            self._files = TableFiles(
                self.section,
                ours,
                Domain("mx.x.test"),
                self.clock,
                self.told.append,
                self.directory,
            )
        self.clock.move(timedelta(seconds=2))
        return self._files.current()

    def find(self, address: str) -> list[str]:
        result = self.load().expand(parse_mailbox(address))
        assert isinstance(result, Expanded), result
        return list(map(str, result.destinations))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_without_files_nothing_is_redirected(scene: Scene) -> None:
    tables = scene.load()
    mailbox = parse_mailbox("a+t@x.test")
    assert tables.expand(mailbox) == Expanded((mailbox,))
    assert tables.find_way(mailbox) is None
    assert tables.find_relay_domain("x.test") is None
    assert tables.find_sender_relay(mailbox) is None
    assert tables.has_relay_recipient(mailbox) is True
    assert not tables.is_alias_domain("x.test")
    assert scene.load() is tables


def test_files_are_read_again_when_they_change(scene: Scene) -> None:
    scene.write("aliases", "a: b\n")
    scene.write("virtual", "v@far.test a@y.test\nz.test x\n")
    assert scene.find("a@x.test") == ["b@x.test"]
    assert scene.find("v@far.test") == ["b@x.test"]
    assert scene.load().is_alias_domain("z.test")
    scene.write("aliases", "a: c\n")
    assert scene.find("a@x.test") == ["c@x.test"]


def test_files_are_looked_at_once_a_second(scene: Scene) -> None:
    scene.write("aliases", "a: b\n")
    files = TableFiles(scene.section, (Domain("x.test"),), Domain("x.test"), scene.clock)
    first = files.current()
    scene.write("aliases", "a: c\n")
    assert files.current() is first
    scene.clock.move(timedelta(seconds=1))
    assert files.current() is not first


def test_included_files_are_read_again_too(scene: Scene) -> None:
    inner = scene.write("inner", "c\n")
    outer = scene.write("outer", f"b\n:include:{inner}\n")
    scene.write("aliases", f"list: :include:{outer}\n")
    assert scene.find("list@x.test") == ["b@x.test", "c@x.test"]
    scene.write("inner", "d@far.test\nbroken@\n")
    assert scene.find("list@x.test") == ["b@x.test", "d@far.test"]
    assert scene.told == [f"{inner}:2: '' is not a domain of letters, digits and hyphens"]
    scene.write("aliases", "list: b\n")
    assert scene.find("list@x.test") == ["b@x.test"]


@pytest.mark.parametrize("name", ["aliases", "virtual"])
def test_while_aliases_cannot_be_read_nobody_knows_whom_they_are_about(
    scene: Scene, name: str
) -> None:
    path = scene.write(name, "")
    path.unlink()
    result = scene.load().expand(parse_mailbox("anybody@x.test"))
    assert result == Unusable(f"{path}: No such file or directory")
    scene.write(name, "# empty\n")
    assert scene.find("anybody@x.test") == ["anybody@x.test"]


def test_an_included_file_that_cannot_be_read_is_its_alias_alone(scene: Scene) -> None:
    scene.write("aliases", "list: b, :include:/gone/list\nother: c\n")
    result = scene.load().expand(parse_mailbox("list@x.test"))
    assert isinstance(result, Unusable)
    assert result.reason == "/gone/list: No such file or directory"
    assert scene.find("other@x.test") == ["c@x.test"]


def test_so_many_files_are_included_and_no_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_INCLUDES", 1)
    first, second = scene.write("first", "b\n"), scene.folder / "second"
    scene.write("aliases", f"one: :include:{first}\ntwo: :include:{second}\n")
    assert scene.find("one@x.test") == ["b@x.test"]
    result = scene.load().expand(parse_mailbox("two@x.test"))
    assert isinstance(result, Unusable)
    assert result.reason == f"{second}: not read: aliases include more than 1 files"


def test_a_circle_is_told_by_its_names(scene: Scene) -> None:
    scene.write("aliases", "a: b\nb: a\n")
    assert isinstance(scene.load().expand(parse_mailbox("a@x.test")), Loop)


def test_problems_are_told_once_after_each_change(scene: Scene) -> None:
    path = scene.write("aliases", "a: |cmd\nnonsense\n")
    scene.load()
    scene.load()
    assert len(scene.told) == 2
    assert scene.told[0] == f"{path}:2: nonsense is not `name: value`"
    scene.write("aliases", "nonsense\n")
    scene.load()
    assert scene.told[2:] == [f"{path}:1: nonsense is not `name: value`"]
    path.unlink()
    scene.load()
    scene.load()
    assert scene.told[3:] == [f"{path}: No such file or directory"]


def test_a_file_that_is_no_table_does_not_fill_the_log(scene: Scene) -> None:
    path = scene.write("aliases", "nonsense\n" * 1000)
    scene.load()
    assert len(scene.told) == module.MAX_TOLD_PROBLEMS + 1
    assert scene.told[-1] == f"{path}: there are more such lines"


def test_ways(scene: Scene) -> None:
    scene.write("transport", "a@x.test discard:\nfar.test :\n.far.test uucp:\n")
    tables = scene.load()
    found = tables.find_way(parse_mailbox("a+t@x.test"))
    assert isinstance(found, Entry)
    assert isinstance(found.value, Discard)
    assert tables.find_way(parse_mailbox("b@x.test")) is None
    assert tables.find_way(parse_mailbox("b@far.test")) is None
    assert isinstance(tables.find_way(parse_mailbox("b@sub.far.test")), WrongEntry)


def test_relaying(scene: Scene) -> None:
    scene.write("relay_domains", "r.test\n")
    scene.write("relay_recipients", "a@r.test\n")
    scene.write("sender_relay", "@x.test [relay.test]:587\n")
    tables = scene.load()
    assert isinstance(tables.find_relay_domain("sub.r.test"), Entry)
    assert tables.find_relay_domain("far.test") is None
    assert tables.has_relay_recipient(parse_mailbox("a+t@r.test")) is True
    assert tables.has_relay_recipient(parse_mailbox("b@r.test")) is False
    relay = tables.find_sender_relay(parse_mailbox("anybody@x.test"))
    assert isinstance(relay, Entry)
    assert relay.value == "[relay.test]:587"
    assert tables.find_sender_relay(None) is None


UNREADABLE: dict[str, Callable[[Tables], object]] = {
    "transport": lambda tables: tables.find_way(parse_mailbox("a@x.test")),
    "relay_domains": lambda tables: tables.find_relay_domain("x.test"),
    "relay_recipients": lambda tables: tables.has_relay_recipient(parse_mailbox("a@x.test")),
    "sender_relay": lambda tables: tables.find_sender_relay(None),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_table_that_cannot_be_read_is_not_an_empty_one(scene: Scene, name: str) -> None:
    scene.write(name, "").unlink()
    assert isinstance(UNREADABLE[name](scene.load()), Unreadable)


@pytest.mark.parametrize("text", ["", "+", "+-"])
def test_delimiters(text: str) -> None:
    assert parse_delimiter(text) == text


@pytest.mark.parametrize("text", ["a", "+@", " ", "+-+-+"])
def test_what_delimits_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="signs"):
        parse_delimiter(text)


@pytest.mark.parametrize(
    ("aliases", "ends"),
    [
        ("postmaster: root\n", ["postmaster@x.test"]),
        ("postmaster: root\nroot: alice\n", ["alice@x.test"]),
        ("postmaster: root, far@far.test\n", ["root@x.test", "far@far.test"]),
        ("postmaster: way\n", ["way@x.test"]),
    ],
)
def test_postmaster_keeps_a_mailbox_when_nobody_is_at_the_end_of_its_aliases(
    scene: Scene, aliases: str, ends: list[str]
) -> None:
    """RFC 5321 §4.5.1; Debian's /etc/aliases leads postmaster to root, who has no mailbox here."""
    domain = Domain("x.test")
    scene.directory = LocalDirectory(
        domain, frozenset({domain}), frozenset({"alice@x.test", "gone@y.test"}), "alice"
    )
    path = scene.write("aliases", f"{aliases}old: root2\nmailer-daemon: postmaster\n")
    scene.write("transport", "way@x.test lmtp:unix:/s\n")
    assert scene.find("Postmaster@x.test")[-1].lower() == ends[-1]
    assert scene.find("postmaster@x.test") == ends
    is_lost = ends == ["postmaster@x.test"]
    assert scene.find("mailer-daemon@x.test") == (["mailer-daemon@x.test"] if is_lost else ends)
    assert scene.find("old@x.test") == ["root2@x.test"], "it is no role address"
    told = [
        f"{path}:1: mail for {role}@x.test would go to root@x.test, where nobody has a mailbox; "
        "it stays here: name somebody who has one"
        for role in ("postmaster", "mailer-daemon")
    ]
    assert scene.told == (told if is_lost else []), "once"


def test_role_addresses_are_gone_through_when_a_table_changed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at each look, of which there is one a second: there may be thousands of domains."""
    domain = Domain("x.test")
    scene.directory = LocalDirectory(domain, frozenset({domain}), frozenset(), "alice")
    scene.write("aliases", "postmaster: root\n")
    looked: list[str] = []
    real = Tables.find_lost_role

    def find_lost_role(tables: Tables, recipient: Mailbox) -> Expanded | None:
        looked.append(str(recipient))
        return real(tables, recipient)

    monkeypatch.setattr(Tables, "find_lost_role", find_lost_role)
    scene.load()
    once = len(looked)
    scene.load()
    assert len(looked) == once > 0
    scene.write("aliases", "postmaster: other\n")
    scene.load()
    assert len(looked) == 2 * once
    assert len(scene.told) == 2
