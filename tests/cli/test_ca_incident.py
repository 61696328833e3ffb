"""`letterlock ca incident` and `ca audit`: what they say, of an authority that does not run."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import SystemClock
from letterlock.cli.ca_incident_create import find_time
from letterlock.cli.root import main
from letterlock.node.ca.own_certificate import make_own_profile
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.services.ca.own_certificates import OWN_ACCOUNT, issue_own
from tests.authority_running import AuthorityFiles, InnerSettings, inner_authority
from tests.cli.test_ca import Commands
from tests.fakes import START, FakeClock

ASKED = ("incident", "create", "--why", "a key was shown", "--renew-by", "5d")
OWN = ("--account", OWN_ACCOUNT)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> AuthorityFiles:
    """An authority that issued two certificates to itself, for names that are not its own."""
    folder = tmp_path_factory.mktemp("ca")
    files = AuthorityFiles(folder, hostname="ca.example")

    async def prepare() -> None:
        clock = FakeClock(SystemClock().now() - timedelta(minutes=1))
        async with inner_authority(folder, InnerSettings(), clock) as inner:
            for name in ("one.example", "two.example"):
                await issue_own(inner.assembled.tools, name, make_own_profile(NameRules()))
            await inner.assembled.care.audit._steps["log"]()  # type: ignore[union-attr]
            (folder / "root.pem").write_bytes(inner.root.public_bytes(Encoding.PEM))

    asyncio.run(prepare())
    files.write()
    return files


@pytest.fixture
def commands(files: AuthorityFiles, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(files, capsys)


def list_serials(commands: Commands) -> list[str]:
    return [each["serial"] for each in commands.ask("list")["certificates"]]


def test_an_incident_is_made_enabled_followed_and_withdrawn(commands: Commands) -> None:
    one, _ = list_serials(commands)
    said = commands.run(*ASKED, one, "0102")
    incident_id = said.split()[0]
    assert "1 affected, 0 told, 0 replaced, 0 revoked, 1 left" in said
    assert f"next: letterlock ca incident enable {incident_id}" in said
    assert "2 serial numbers" in said
    enabled = commands.run("incident", "enable", incident_id)
    assert f"{incident_id}  enabled: a key was shown" in enabled
    assert "is enabled already" in commands.run("incident", "enable", incident_id, code=1)
    (found,) = commands.ask("incident", "status", incident_id)["incidents"]
    assert (found["state"], found["affected"], found["left"]) == ("enabled", 1, 1)
    assert (found["reason"], found["accounts"], found["ended"]) == ("superseded", 1, None)
    heading, row = commands.run("incident", "list", incident_id).splitlines()
    assert heading.split(",")[:2] == ["serial", "account"]
    assert row.startswith(f"{one},{OWN_ACCOUNT},")
    (listed,) = commands.ask("incident", "list", incident_id)["certificates"]
    assert (listed["serial"], listed["account"], listed["told"]) == (one, OWN_ACCOUNT, None)
    assert listed["not_after"] == row.split(",")[2]
    assert commands.run("incident", "withdraw", incident_id).startswith(f"{incident_id}  withdrawn")
    assert "withdrawn: 1 affected" in commands.run("incident", "status", incident_id, "--follow")
    assert "withdrawn" in commands.run("incident", "status")


def test_what_it_affects_is_chosen_by_what_it_lacks(commands: Commands) -> None:
    """They are for names that the settings do not prove."""
    found = commands.ask(*ASKED, *OWN, "--missing", "validation", "--enable")
    assert (found["affected"], found["state"]) == (2, "enabled")
    assert found["chosen"] == f"missing validation, account {OWN_ACCOUNT}"
    commands.run("incident", "withdraw", found["id"])
    none = commands.run(*ASKED, *OWN, "--missing", "lint", code=1)
    assert none == ""
    under = commands.ask(*ASKED, *OWN, "--under", "two.example", "--from", "2020-01-01")
    assert under["affected"] == 1


def test_a_list_is_read_whole_or_not_at_all(
    commands: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = list_serials(commands)
    listed = tmp_path / "list.csv"
    listed.write_text(f"serial,x\n{one},1\n{two},2\n0badc0de,3\n")
    words = ["ca", *ASKED, "--list", str(listed), "--json", "--config", str(commands.files.config)]
    assert main(words) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["affected"], found["chosen"]) == (2, "the list list.csv")
    assert "1 serial number is not ours" in said.err
    listed.write_text(f"{one}\nwhat is this\n")
    assert "list.csv:2: not a serial number" in commands.run(
        *ASKED, "--list", str(listed), code=2
    ) + commands.run("incident", "status", "0", code=1)
    missing = commands.run(*ASKED, "--list", "/missing", code=2)
    assert "/missing: cannot be read" in missing


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say which"),
        (("--all", "0102"), "say which"),
        (("xyz",), "SERIAL 'xyz'"),
        (("--url", "ftp://a", "--all"), "--url 'ftp://a'"),
        (("--url", "https://a/\x1b[2J", "--all"), "--url 'https://a/\\x1b[2J'"),
        (("--url", 'https://a/"><b>', "--all"), "not an http URL"),
        (("--url", "https://a/\r\nBcc: b", "--all"), "not an http URL"),
        (("--under", "a b"), "--under 'a b'"),
        (("--from", "yesterday"), "--from 'yesterday': not a time"),
        (("--renew-by", "2020-01-01", "--all"), "has passed"),
        (("0102",) * 10_001, "give them as --list"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    commands: Commands, words: tuple[str, ...], said: str
) -> None:
    assert said in commands.run(*ASKED, *words, code=2)


def test_what_there_is_not_is_told(commands: Commands) -> None:
    for step in ("enable", "withdraw", "status", "list"):
        said = commands.run("incident", step, "20200101-aaaa", code=1)
        assert "there is no incident 20200101-aaaa" in said
    commands.run("incident", "list", "20200101-aaaa", "--json", code=1)
    assert "--follow is of one incident" in commands.run("incident", "status", "--follow", code=2)


def test_a_time_is_one_in_utc_or_from_now() -> None:
    assert find_time("5d", START) == START + timedelta(days=5)
    assert find_time("2026-03-06T12:00", START) == datetime(2026, 3, 6, 12, tzinfo=UTC)
    assert find_time("2026-03-06T12:00+02:00", START) == datetime(2026, 3, 6, 10, tzinfo=UTC)
    for text in ("", "soon", "2026-13-01"):
        with pytest.raises(ValueError, match="not a time"):
            find_time(text, START)
    with pytest.raises(ValueError, match="no time"):
        find_time("9999999d", START)


def test_certificates_are_checked_against_an_incident_of_ours(
    commands: Commands, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one, _ = list_serials(commands)
    made = commands.ask(*ASKED, one)
    config = ["--config", str(commands.files.config)]
    root = str(commands.files.folder / "root.pem")
    words = ["incident", "check", "--incident", made["id"], "--cert", root, "--json", *config]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["list"]["source"] == f"incident {made['id']}"
    assert found["list"]["entries"] == 1
    commands.run(*ASKED, "0102", code=1)
    none = next(
        each
        for each in commands.ask("incident", "status")["incidents"]
        if each["chosen"] == "1 serial number" and not each["affected"]
    )
    assert main(["incident", "check", "--incident", none["id"], "--cert", root, *config]) == 3
    said = capsys.readouterr().err
    assert said == f"letterlock: incident {none['id']}: it affects no certificate\n"
    assert commands.ask("incident", "list", none["id"]) == {"certificates": []}
    # As a command leaves it that was killed while it collected.
    connection = apsw.Connection(str(commands.files.keys / "authority.db"))
    change = "UPDATE incidents SET document = json_set(document, '$.state', 'collecting')"
    connection.execute(f"{change} WHERE incident_id = ?", (none["id"],))
    connection.close()
    assert main(["incident", "check", "--incident", none["id"], "--cert", root, *config]) == 3
    assert "it is not complete: create it once more" in capsys.readouterr().err
    assert main(["incident", "check", "--cert", root, *config]) == 2
    assert "give --list FILE, or --incident ID" in capsys.readouterr().err
    both = ["--list", str(tmp_path / "x"), "--incident", made["id"]]
    assert main(["incident", "check", "--cert", root, *both, *config]) == 2


def test_the_log_is_shown(commands: Commands) -> None:
    one, _ = list_serials(commands)
    records = commands.ask("audit", "show", "--certificate", one)["records"]
    assert [each["kind"] for each in records] == ["lint", "serial", "signing"]
    assert records[1]["document"]["serial"] == one
    assert [each["number"] for each in records] == sorted(each["number"] for each in records)
    text = commands.run("audit", "show", "--kind", "signing", "--limit", "1")
    assert f"serial: {one}" in text
    assert text.count("signing") == 1
    subject = records[0]["subject"]
    about = commands.ask("audit", "show", "--about", subject, "--kind", "lint")["records"]
    assert about == records[:1]
    after = commands.ask("audit", "show", "--after", str(records[0]["number"]), "--limit", "2")
    assert after["records"][0]["number"] == records[0]["number"] + 1
    assert "no such certificate" in commands.run("audit", "show", "--certificate", "0bad", code=1)
    wrong = commands.run("audit", "show", "--certificate", one, "--about", "x", code=2)
    assert "either --certificate or --about" in wrong
    assert commands.ask("audit", "show", "--about", "nothing") == {"records": []}


def test_the_state_of_the_audit_has_the_head_to_keep(commands: Commands) -> None:
    found = commands.ask("audit", "status")
    assert found["log"]["faulty"] == 0
    assert found["log"]["checked"] >= 6
    assert found["head"]["number"] >= 6
    text = commands.run("audit", "status")
    assert "records of the log checked, 0 faulty; round 1 began" in text
    assert '"signature": ' in text
    # Certificates were not gone through yet: no round, and nothing that was never.
    assert "0 certificates checked: no round has begun yet, which `ca serve` does\n" in text
    assert commands.ask("audit", "status")["certificates"]["began"] is None


def test_a_log_that_was_changed_is_told(commands: Commands, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    head.write_text(json.dumps(commands.ask("audit", "status")["head"]))
    found = commands.ask("audit", "verify", "--head", str(head))
    assert (found["breaks"], found["signed_heads"]) == ([], 1)
    assert commands.run("audit", "verify").endswith("1 signed head: whole\n")
    kept = json.loads(head.read_text())
    head.write_text(json.dumps({**kept, "number": kept["number"] - 1}))
    strange = ["ca", "audit", "verify", "--head", str(head), "--config", str(commands.files.config)]
    assert main(strange) == 3
    said = commands._capsys.readouterr()
    assert f"the head of record {kept['number'] - 1} has no signature of ours" in said.err
    assert said.out.endswith("whole, as far as those tell\n")
    head.write_text("{}")
    wrong = commands.run("audit", "verify", "--head", str(head), code=2)
    assert f"{head}: not a head" in wrong
    assert "/missing: " in commands.run("audit", "verify", "--head", "/missing", code=2)
    connection = apsw.Connection(str(commands.files.keys / "authority.db"))
    connection.execute("CREATE TABLE kept AS SELECT * FROM audit_heads")
    connection.execute("DELETE FROM audit_heads")
    assert main(["ca", "audit", "verify", "--config", str(commands.files.config)]) == 0
    assert "note: without a signed head nobody sees" in commands._capsys.readouterr().err
    connection.execute("INSERT INTO audit_heads SELECT * FROM kept")
    connection.execute("DROP TRIGGER audit_is_not_changed")
    connection.execute('UPDATE audit SET document = \'{"kind":"x"\' WHERE number = 2')
    connection.close()
    assert main(["ca", "audit", "verify", "--config", str(commands.files.config)]) == 1
    shown = commands._capsys.readouterr().out
    assert "record 2: it was changed" in shown
    assert shown.endswith("NOT whole\n")
    assert "2  " in commands.run("audit", "show", "--limit", "2")
