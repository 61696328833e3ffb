"""`letterlock cert`: what is printed for people and programs, and the exit codes."""

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509

from letterlock.base.clock import SystemClock
from letterlock.cli.cert_list import CERTIFICATE_KEYS
from letterlock.cli.root import main
from letterlock.node import certifying
from letterlock.protocols.acme.renewal import RenewalPlan
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.solving.stored import OwnListeners
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.watched import SqliteWatched
from letterlock.storage.watched import Look, Watched, WatchFinding
from tests.acme_server import FakeAcmeServer, respond
from tests.free_ports import free_port
from tests.interop.background import zones

T = TypeVar("T")

MX, DANE = "mx.example.org", "dane.example.org"
ID = CertificateId(MX, KeyType.ECDSA)
OTHER_KEY = "ab" * 32
ZONES = {
    "org": "@ SOA ns1 hostmaster 1 60 60 60 1\n@ NS ns1\nns1 A 127.0.0.1",
    "example.org": f"""
@ SOA ns1 hostmaster 1 60 60 60 1
@ NS ns1
ns1 A 127.0.0.1
mx A 127.0.0.1
dane A 127.0.0.1
_25._tcp.dane TLSA 3 1 1 {OTHER_KEY}
""",
}
DIRECTORY = "https://ca.example/directory"
REFUSAL = {"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "not this one"}


@pytest.fixture(scope="module")
def name_server() -> Iterator[str]:
    with zones(ZONES) as address:
        yield address


@dataclass
class Desk:
    """A configuration, an authority in memory, and what commands say."""

    file: Path
    data: Path
    server: FakeAcmeServer
    name_server: str
    capsys: pytest.CaptureFixture[str]
    error: str = ""

    def write(self, *certificates: str, resolver: str = "", **extra: str) -> None:
        """Write the settings; lines of `[certificates]` come beside the usual ones."""
        authority = extra.get("authority", "agree_to_terms = true")
        lines = "\n".join(certificates)
        self.file.write_text(f"""
hostname = "{MX}"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "{self.data}"
[receive]
listen = ["127.0.0.1:0"]
[dns]
resolver = "{resolver or self.name_server}"
timeout = "1s"
attempts = 1
[dns_changes]
port = {self.name_server.rpartition(":")[2]}
[certificates]
authorities = [{{ directory = "{DIRECTORY}", {authority} }}]
http_listen = ["127.0.0.1:{free_port()}"]
{lines}
""")

    def run(self, command: str, code: int = 0) -> str:
        """Run `letterlock COMMAND`; gives what it prints."""
        assert main([*command.split(), "--config", str(self.file)]) == code
        seen = self.capsys.readouterr()
        self.error = seen.err
        return seen.out

    def ask(self, command: str, code: int = 0) -> Any:
        """Run it with --json; gives the document."""
        return json.loads(self.run(f"{command} --json", code))

    def keep(self, work: Callable[[NodeDatabase], Coroutine[Any, Any, T]]) -> T:
        """Work with the node's database."""

        async def run() -> T:
            database = NodeDatabase(self.data / "node.sqlite", SystemClock())
            await database.open()
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(run())

    def change(self, change: Callable[[CertificateState], CertificateState]) -> None:
        async def work(database: NodeDatabase) -> None:
            store, now = SqliteCertificates(database), SystemClock().now()
            lease = await store.claim(ID, now, now + timedelta(minutes=1))
            assert lease is not None
            assert await store.settle(lease, change(lease.state))

        self.keep(work)


@pytest.fixture
def desk(
    tmp_path: Path,
    name_server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    server = FakeAcmeServer(now=SystemClock().now)
    monkeypatch.setattr(certifying, "make_https", lambda *_: server)
    made = Desk(tmp_path / "letterlock.toml", tmp_path / "data", server, name_server, capsys)
    made.data.mkdir()
    made.write()
    return made


def keys_of(document: dict[str, Any], beginning: str = "") -> Iterator[str]:
    for key, value in document.items():
        yield f"{beginning}{key}"
        if isinstance(value, dict):
            yield from keys_of(value, f"{beginning}{key}.")


def test_before_the_first_order_it_says_that_there_is_none(desk: Desk) -> None:
    lines = desk.run("cert list").splitlines()
    assert lines[0].split() == ["NAME", "KEY", "ISSUER", "ENDS", "RENEWED", "TLSA"]
    assert lines[1].split() == [MX, "ecdsa", "-", "-", "due", "now", "none"]
    assert "there is no certificate yet" in desk.run(f"cert show {MX}")
    (listed,) = desk.ask("cert list")["certificates"]
    assert (listed["certificate"], listed["problems"]) == (None, [])


def test_an_order_gets_what_is_missing_and_nothing_else(desk: Desk) -> None:
    (done,) = desk.ask("cert order")["certificates"]
    assert (done["name"], done["key_type"], done["outcome"]) == (MX, "ecdsa", "done")
    assert done["serial"] is not None
    assert "new certificate from CN=Root" in desk.error
    assert desk.run("cert order") == "nothing to do\n"
    assert desk.run(f"cert order {MX}") == "nothing to do\n"
    assert f"{MX} (ECDSA): there already; `letterlock cert renew` gets another" in desk.error
    assert desk.ask("cert order") == {"certificates": []}
    (listed,) = desk.ask("cert list")["certificates"]
    assert listed["certificate"]["serial"] == done["serial"]
    folder = desk.data / "certificates" / MX
    leaf = x509.load_pem_x509_certificates((folder / "fullchain.pem").read_bytes())[0]
    assert f"{leaf.serial_number:x}" == done["serial"]


def test_each_documented_key_is_there_and_no_other(desk: Desk) -> None:
    desk.run("cert order")
    (listed,) = desk.ask("cert list")["certificates"]
    documented = {key.removesuffix("[]") for key in CERTIFICATE_KEYS}
    # A roll-over's keys are there while one goes on.
    expected = {key for key in documented if not key.startswith("rollover.")}
    assert set(keys_of(listed)) - {"renewal", "tlsa"} == expected


def test_a_renewal_keeps_the_key(desk: Desk) -> None:
    desk.run("cert order")
    (before,) = desk.ask(f"cert show {MX}")["certificates"]
    text = desk.run(f"cert renew {MX}")
    assert text.startswith(f"{MX} (ecdsa): serial ")
    (after,) = desk.ask(f"cert show {MX}")["certificates"]
    assert after["certificate"]["serial"] != before["certificate"]["serial"]
    assert after["certificate"]["spki_sha256"] == before["certificate"]["spki_sha256"]
    assert [each["serial"] for each in after["history"]] == [
        after["certificate"]["serial"],
        before["certificate"]["serial"],
    ]
    assert after["chain"].startswith("-----BEGIN CERTIFICATE-----\n")


def test_a_certificate_is_shown_whole(desk: Desk) -> None:
    desk.run("cert order")
    (state,) = desk.ask("cert list")["certificates"]
    text = desk.run(f"cert show {MX} --no-dns")
    for piece in (
        state["certificate"]["serial"],
        "issuer    CN=Root, by",
        "two thirds of its life",
    ):
        assert piece in text
    assert "TLSA" not in text
    assert state["certificate"]["spki_sha256"] in text


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("cert show nobody.example", 1, "no certificate of ours; `letterlock cert list` has them"),
        ("cert order nobody.example", 2, "the settings do not name it; add it to certificates.nam"),
        ("cert renew nobody.example", 2, "the settings do not name it"),
        ("cert rollover nobody.example", 2, "the settings do not name it"),
        ("cert rollover --abandon nobody.example", 2, "the settings do not name it"),
        ("cert revoke nobody.example", 1, "no certificate of ours"),
        ("cert renew", 2, "Missing argument"),
        ("cert revoke mx --reason spite", 2, "spite"),
    ],
)
def test_a_name_that_is_not_ours_is_told(desk: Desk, command: str, code: int, words: str) -> None:
    desk.run(command, code)
    assert words in desk.error


def test_a_name_may_be_written_as_people_do(desk: Desk) -> None:
    desk.run("cert order MX.example.org.")
    assert desk.run("cert show Mx.Example.ORG").startswith(f"{MX} (ecdsa)")


def test_without_an_authority_there_is_nothing_to_look_after(desk: Desk) -> None:
    desk.file.write_text(desk.file.read_text().partition("[certificates]")[0])
    for command in ("list", f"show {MX}", "order", f"renew {MX}", f"rollover {MX}", "revoke 1"):
        desk.run(f"cert {command}", 2)
        assert "certificates.authorities is not set" in desk.error


def test_what_cannot_be_used_is_told_with_its_place(desk: Desk) -> None:
    desk.write(authority='eab_key_id = "one", eab_key_file = "/nonexistent"')
    desk.run("cert list", 2)
    assert "letterlock.toml:" in desk.error
    assert "certificates.authorities[1].eab_key_file: /nonexistent: No such file" in desk.error
    desk.write('export = [{ folder = "/tmp/x", group = "no-such-group" }]')
    desk.run(f"cert renew {MX}", 2)
    assert "certificates.export[1].group: there is no group" in desk.error
    assert desk.server.paths("new-order") == []


def test_a_port_that_is_taken_is_told_before_anything_is_ordered(desk: Desk) -> None:
    desk.write('challenges = ["tls-alpn-01"]', 'alpn_listen = ["192.0.2.77:9"]')
    desk.run("cert order", 2)
    assert "certificates.alpn_listen: 192.0.2.77:9: " in desk.error
    assert desk.server.paths("new-order") == []


def test_a_failure_is_told_and_counted(desk: Desk) -> None:
    for _ in range(2):
        desk.server.replies["new-order"] = [respond(403, REFUSAL)]
        (failed,) = desk.ask("cert order", 1)["certificates"]
        assert failed["outcome"] == "failed"
        assert failed["reason"] == "ca.example: rejectedIdentifier: not this one"
        assert "next try at" in desk.error
    text = desk.run("cert list", 1)
    assert f"{MX} (ecdsa): failed 2 times in a row: ca.example: rejectedIdentifier" in " ".join(
        text.split()
    )
    assert "due; next try" in text
    assert "not asked before" in desk.run(f"cert show {MX}", 1)
    (listed,) = desk.ask("cert list", 1)["certificates"]
    assert listed["troubles"][0]["count"] == 2
    desk.run("cert order")
    assert desk.ask("cert list")["certificates"][0]["troubles"] == []


def test_without_dns_nothing_is_ordered(desk: Desk) -> None:
    desk.write(resolver="127.0.0.1:9")
    desk.run("cert order", 1)
    assert "not ordered: not known whether TLSA records match" in desk.error
    assert desk.server.paths("new-order") == []
    assert desk.ask("cert list", 1)["certificates"][0]["tlsa"]["state"] == "unknown"
    assert desk.ask("cert list --no-dns", 1)["certificates"][0]["tlsa"]["state"] == "not-asked"


def test_who_is_at_it_already_is_not_disturbed(desk: Desk) -> None:
    desk.run("cert order")

    async def work(database: NodeDatabase) -> None:
        now = SystemClock().now()
        assert await SqliteCertificates(database).claim(ID, now, now + timedelta(minutes=5))

    desk.keep(work)
    (busy,) = desk.ask(f"cert renew {MX}", 3)["certificates"]
    assert (busy["outcome"], busy["serial"]) == ("busy", None)
    text = desk.run(f"cert renew {MX}", 3)
    assert text == f"{MX} (ecdsa): busy: another process is at it: see `letterlock cert list`\n"
    text = desk.run(f"cert rollover --abandon {MX}", 3)
    assert text == f"{MX} (ecdsa): another process is at it; try again in a minute\n"
    assert len(desk.server.paths("new-order")) == 1


def test_the_first_key_of_a_name_with_tlsa_records_waits_for_its_own(desk: Desk) -> None:
    """RFC 7671 §8.1; the operator changes DNS, and is told what to publish."""
    desk.write(f'names = ["{DANE}"]')
    text = desk.run("cert list", 1)
    assert "and no certificate yet" in text
    (first, waiting) = desk.ask("cert order", 1)["certificates"]
    assert (first["outcome"], waiting["outcome"]) == ("done", "waiting")
    record = f"publish beside the records that are there: _25._tcp.{DANE}. IN TLSA 3 1 1 "
    assert waiting["reason"].startswith(record)
    (_, listed) = desk.ask("cert list", 1)["certificates"]
    assert listed["problems"][0].startswith(f"no certificate yet: {record}")
    assert listed["rollover"]["stage"] == "published"
    assert len(desk.server.paths("new-order")) == 1
    text = desk.run(f"cert rollover --abandon {DANE}")
    assert text == f"{DANE} (ecdsa): the roll-over is given up\n"
    text = desk.run(f"cert rollover --abandon {DANE}", 1)
    assert text == f"{DANE} (ecdsa): no roll-over goes on\n"


def test_a_key_that_no_record_matches_is_used_where_it_is_forced(desk: Desk) -> None:
    desk.write(f'names = ["{DANE}"]')
    desk.run(f"cert order {DANE} --force")
    assert "warning: used although no TLSA record" in desk.error
    text = desk.run("cert list", 1)
    assert f"no TLSA record at _25._tcp.{DANE}" in " ".join(text.split())
    assert desk.run("cert list --no-dns")


def test_without_tlsa_records_the_key_is_changed_at_once(desk: Desk) -> None:
    desk.run("cert order")
    before = desk.ask("cert list")["certificates"][0]["certificate"]["spki_sha256"]
    (done,) = desk.ask(f"cert rollover {MX}")["certificates"]
    assert done["outcome"] == "done"
    assert "key roll-over: done" in desk.error
    assert desk.ask("cert list")["certificates"][0]["certificate"]["spki_sha256"] != before


def test_a_roll_over_with_tlsa_records_waits_for_the_operator(desk: Desk) -> None:
    desk.write(f'names = ["{DANE}"]')
    desk.run(f"cert order {DANE} --force")
    (waiting,) = desk.ask(f"cert rollover {DANE}")["certificates"]
    assert waiting["outcome"] == "waiting"
    (_, listed) = desk.ask("cert list", 1)["certificates"]
    assert listed["problems"][0].startswith("key roll-over waits for you: publish beside")
    assert "roll-over published: publish beside" in desk.run(f"cert show {DANE}", 1)
    assert f"{DANE} (ECDSA): key roll-over waits for you" in desk.run("status", 1)


def test_a_certificate_is_revoked_by_name_and_by_serial(desk: Desk) -> None:
    desk.run("cert order")
    serial = desk.ask("cert list")["certificates"][0]["certificate"]["serial"]
    document = desk.ask(f"cert revoke {MX} --reason superseded")
    assert document == {
        "certificates": [{"name": MX, "serial": serial, "revoked": True, "reason": None}]
    }
    assert desk.server.revoked[0][0]["reason"] == 4
    (listed,) = desk.ask("cert list", 1)["certificates"]
    assert listed["revoked"] is not None
    assert listed["renewal"]["why"].startswith("it was revoked")
    colons = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
    if len(serial) % 2 == 0:
        assert desk.run(f"cert revoke {colons.upper()}") == f"{MX}: {serial} is revoked\n"
    desk.server.replies["revoke-cert"] = [respond(403, REFUSAL)] * 2
    assert desk.run(f"cert revoke {serial}", 1) == ""
    assert f"{MX}: {serial} is not revoked: ca.example: rejectedIdentifier" in desk.error


def test_of_a_name_without_a_certificate_yet_there_is_nothing_to_revoke(desk: Desk) -> None:
    """`cert list` has the name, and so it is no help to send anybody there."""
    assert desk.run(f"cert revoke {MX}", 1) == ""
    said = f"letterlock: {MX}: it has no certificate yet: there is nothing to revoke\n"
    assert desk.error == said
    desk.run("cert revoke 0badc0de", 1)
    assert "0badc0de: no certificate of ours; `letterlock cert list` has them" in desk.error


def test_a_name_that_is_not_wanted_any_more_is_shown_and_not_renewed(desk: Desk) -> None:
    desk.write(f'names = ["{DANE}"]')
    desk.run(f"cert order {DANE} --force")
    desk.write()
    assert desk.run("cert list").splitlines()[2].split()[-2:] == ["never", "mismatch"]
    assert "not in the settings any more, not renewed" in desk.run(f"cert show {DANE}")
    (_, listed) = desk.ask("cert list")["certificates"]
    assert (listed["wanted"], listed["problems"]) == (False, [])
    desk.run(f"cert renew {DANE}", 2)
    document = desk.ask("status", 1)
    assert document["managed"]["forgotten"] == 1
    assert document["problems"] == ["no node runs"]


def test_what_nodes_saw_is_told_where_it_lasts(desk: Desk) -> None:
    desk.run("cert order")
    now = SystemClock().now()
    reasons = {Look.CAA: "CAA forbids it", Look.SERVED: "another is shown", Look.TLSA: "no match"}
    findings = tuple(
        WatchFinding(look, now - timedelta(minutes=16), reason) for look, reason in reasons.items()
    )
    new = WatchFinding(Look.SERVED, now - timedelta(minutes=14), "not yet")
    row = Watched("mx1-ab", ID, 1, now, now, findings)

    async def work(database: NodeDatabase) -> None:
        store = SqliteWatched(database)
        await store.note(row)
        await store.note(replace(row, node="mx2-ab", findings=(new,)))
        await store.note(replace(row, node="mx3-ab", version=7))
        await store.note(replace(row, node="mx4-ab", looked=now - timedelta(days=4)))

    desk.keep(work)
    seen = ["CAA forbids it", "mx1-ab: another is shown"]
    (listed,) = desk.ask("cert list", 1)["certificates"]
    assert listed["problems"] == seen
    assert [each["node"] for each in listed["watched"]] == ["mx1-ab"] * 3 + ["mx2-ab"]
    assert f"{MX} (ecdsa): CAA forbids it" in desk.run("cert list", 1)
    (listed,) = desk.ask("cert list --no-dns", 1)["certificates"]
    assert listed["problems"] == [*seen, "no match"]
    document = desk.ask("status", 1)
    assert document["problems"] == [
        "no node runs",
        *(f"{ID}: {each}" for each in [*seen, "no match"]),
    ]
    assert document["managed"]["with_problems"] == 1


def test_the_end_of_life_is_told(desk: Desk) -> None:
    desk.run("cert order")

    def age(state: CertificateState) -> CertificateState:
        assert state.facts is not None
        facts = replace(state.facts, not_after=SystemClock().now() + left, not_before=before)
        return replace(state, facts=facts, plan=None)

    before = SystemClock().now() - timedelta(days=90)
    left = timedelta(days=4)
    desk.change(age)
    assert "a twentieth of its life is left: it ends at" in desk.run("cert list", 1)
    left = -timedelta(days=1)
    desk.change(age)
    assert "expired at" in desk.run("cert list", 1)
    left = timedelta(days=50)
    desk.change(age)
    desk.run("cert list")


def test_a_renewal_that_nobody_tries_is_told(desk: Desk) -> None:
    desk.run("cert order")
    late = SystemClock().now() - timedelta(minutes=59)
    desk.change(lambda state: replace(state, plan=RenewalPlan(late)))
    assert "due now" in desk.run("cert list")
    late = SystemClock().now() - timedelta(minutes=61)
    desk.change(lambda state: replace(state, plan=RenewalPlan(late)))
    (listed,) = desk.ask("cert list", 1)["certificates"]
    assert listed["problems"] == [
        f"due since {listed['renewal']['at']} and not tried: does a node run?"
    ]


def test_status_counts_and_names_problems(desk: Desk) -> None:
    document = desk.ask("status", 1)
    assert document["managed"] == {
        "wanted": 1,
        "missing": 1,
        "with_problems": 0,
        "forgotten": 0,
        "next_renewal": None,
    }
    desk.run("cert order")
    assert "Managed       1 certificate, the next renewed at " in desk.run("status", 1)
    names = ", ".join(f'"n{number}.example.org"' for number in range(25))
    desk.write(f"names = [{names}]")
    desk.server.replies["new-order"] = [respond(403, REFUSAL)] * 25
    desk.run("cert order", 1)
    lines = desk.run("status", 1).splitlines()
    assert lines[-1].strip() == "and 5 problems more: letterlock cert list"
    assert "Managed       26 certificates" in "\n".join(lines)
    assert "25 not there yet, 25 with problems" in "\n".join(lines)


def test_a_database_that_cannot_be_read_is_undecided(desk: Desk) -> None:
    (desk.data / "node.sqlite").write_bytes(b"no database" * 1000)
    desk.run("cert list", 3)
    assert "letterlock: certificates: " in desk.error
    assert any("certificates cannot be read" in each for each in desk.ask("status", 1)["problems"])


def test_beside_a_running_node_its_listeners_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command opens none, and the proof is looked for at the node's."""
    impatient = partial(OwnListeners, patience=timedelta(0))
    monkeypatch.setattr(certifying, "OwnListeners", impatient)
    descriptor = os.open(desk.data / "node.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        desk.run("cert order", 1)
    finally:
        os.close(descriptor)
    assert "our own listener does not show the proof: 127.0.0.1:" in desk.error
