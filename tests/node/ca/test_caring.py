"""What an authority does about itself, put together from its settings: its mail, and its start."""

from dataclasses import replace
from email import message_from_bytes
from pathlib import Path

from letterlock.base.config.load import load_config
from letterlock.base.config.sections import Config
from letterlock.node.ca import caring
from letterlock.node.ca.caring import find_sender, make_evidence_rules, make_leave_mail
from letterlock.protocols.audit.decisions import StartLogged
from letterlock.protocols.audit.records import read_decision
from letterlock.storage.drop import parse_envelope
from letterlock.storage.drop_folder import DropFolder, Found
from letterlock.storage.queue import StoreUnavailable
from tests.authority_running import AuthorityFiles, inner_authority
from tests.fakes import FakeClock


def make_config(folder: Path, **changes: object) -> Config:
    files = AuthorityFiles(folder)
    if changes:
        files.change("ca", **changes)
    return load_config(files.write())


def take(folder: DropFolder) -> tuple[str, tuple[str, ...], bytes]:
    """Take the one mail that was left."""
    (name,), _ = folder.list_whole(set())
    found = folder.open(name)
    assert isinstance(found, Found)
    with found.file as file:
        envelope, octets = parse_envelope(file.read())
    return envelope.facts["sender"], envelope.recipients, octets


def test_mail_comes_from_the_first_address_that_there_is(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    assert find_sender(config) == config.contact
    contacts = ("https://ca.example/", "mailto:ca@ca.example", "mailto:b@ca.example")
    some = replace(config, ca=replace(config.ca, contacts=contacts))
    assert find_sender(some) == "ca@ca.example"
    incidents = replace(config.ca.incidents, sender="incidents@ca.example")
    own = replace(some, ca=replace(some.ca, incidents=incidents))
    assert find_sender(own) == "incidents@ca.example"


def test_its_own_names_are_those_that_its_url_has_and_had(tmp_path: Path) -> None:
    config = make_config(tmp_path, url="https://a.example/x", former_urls=["https://b.example:1"])
    assert make_evidence_rules(config).own_names == {"a.example", "b.example"}


async def test_mail_that_cannot_be_left_says_why(tmp_path: Path) -> None:
    folder = DropFolder(tmp_path / "drop")
    leave = make_leave_mail(folder.path)
    assert await leave("a@a.example", ["b@b.example"], b"x") == (
        f"{folder.path} is not there: does a node of this machine take mail (send.drop_dir)?"
    )
    folder.prepare({})
    assert await leave("a@a.example", ["b@b.example\nsender c"], b"x") is not None
    assert await leave("a@a.example", ["b@b.example"], b"Subject: x\r\n\r\n") is None
    assert take(folder) == ("a@a.example", ("b@b.example",), b"Subject: x\r\n\r\n")


async def test_the_audits_alarm_is_mailed_to_the_authoritys_people(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    folder = DropFolder(config.send.drop_dir)
    folder.prepare({})
    send = caring._make_send(config, FakeClock())
    assert await send("Certificates that lack something", ["one", "two"]) is None
    sender, recipients, octets = take(folder)
    assert (sender, recipients) == (config.contact, (config.contact,))
    mail = message_from_bytes(octets)
    assert mail["Subject"] == "Certificates that lack something"
    assert b"\r\none\r\ntwo\r\n" in octets


async def test_a_start_is_logged_also_where_the_database_was_away(tmp_path: Path) -> None:
    async with inner_authority(tmp_path) as inner:
        care, store = inner.assembled.care, inner.store
        commit, failures = store.commit, [1]

        async def fail_once(*arguments: object) -> bool:
            if failures:
                failures.pop()
                raise StoreUnavailable("away")
            return await commit(*arguments)  # type: ignore[arg-type]

        store.commit = fail_once  # type: ignore[method-assign, assignment]
        caring_seconds, caring.PREPARE_AGAIN_SECONDS = caring.PREPARE_AGAIN_SECONDS, 0.0
        try:
            await care.prepare()
        finally:
            caring.PREPARE_AGAIN_SECONDS = caring_seconds
        assert "warning: the audit waits: away" in inner.log.texts
        records = await store.list_records(0, 100, kind="start")
        decisions = [read_decision(each.document) for each in records]
        assert all(isinstance(each, StartLogged) for each in decisions)
        assert decisions
