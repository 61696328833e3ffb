"""`letterlock tlsrpt import`, `list`, `summary`, `advise`: what is kept, and what it says."""

import json
import mailbox
import os
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.cli.report_files import list_files, read_messages
from letterlock.cli.root import main
from letterlock.cli.tlsrpt_advise import ADVICE_KEYS
from letterlock.cli.tlsrpt_import import IMPORT_KEYS
from letterlock.cli.tlsrpt_list import LIST_KEYS
from letterlock.cli.tlsrpt_summary import SUMMARY_KEYS
from tests.protocols.tlsrpt.corpus import (
    encode,
    make_document,
    make_failure,
    make_mail,
    make_result,
)

DOMAIN = "company-y.example"


@dataclass
class Desk:
    """A configuration, and files to import."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str]:
        """Gives the exit code, and what was said."""
        code = main(["tlsrpt", *arguments, "--config", f"{self.folder}/letterlock.toml"])
        out, err = self.capsys.readouterr()
        return code, out + err

    def ask(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        code, text = self.run(*arguments, "--json")
        return code, json.loads(text)

    def write(self, name: str, octets: bytes) -> str:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        return str(path)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    (tmp_path / "data").mkdir()
    (tmp_path / "letterlock.toml").write_text(
        'hostname = "mx1.example.org"\ndomains = ["example.org"]\n'
        f'contact = "postmaster@example.org"\ndata_dir = "{tmp_path}/data"\n'
    )
    return Desk(tmp_path, capsys)


def today() -> date:
    return SystemClock().now().date()


def make_report(days_ago: int = 1, who: str = "x.example", *, is_failing: bool = False) -> bytes:
    day = today() - timedelta(days_ago)
    lines = ["version: STSv1", "mode: testing", "mx: *.company-y.example", "max_age: 86400"]
    return encode(
        make_document(
            **{
                "report-id": f"{day}",
                "contact-info": f"tls@{who}",
                "date-range": {
                    "start-datetime": f"{day}T00:00:00Z",
                    "end-datetime": f"{day}T23:59:59Z",
                },
            },
            policies=[
                make_result(
                    {"policy-string": lines},
                    {"total-failure-session-count": 303 * is_failing},
                    failure_details=[make_failure()] if is_failing else [],
                )
            ],
        )
    )


def test_files_folders_and_mailboxes_are_imported_once(desk: Desk) -> None:
    plain = desk.write("report.json", make_report(1))
    mails = mailbox.Maildir(desk.folder / "Maildir")
    mails.add(make_mail(make_report(2)))
    mails.add(b"Subject: no report\n\nhello\n")
    box = mailbox.mbox(desk.folder / "box")
    for days in (2, 3, 4):
        box.add(make_mail(make_report(days)))
    box.close()
    code, document = desk.ask("import", plain, str(mails._path), str(desk.folder / "box"))
    assert code == 0
    assert document == {
        "files": 6, "new": 4, "copies": 1, "old": 0, "without": 1, "refused": [], "unreadable": []
    }  # fmt: skip
    code, text = desk.run("import", str(desk.folder / "in"))
    assert (code, text) == (
        0, "0 reports are new, 1 was there before; 0 of 1 file or mail has none\n"
    )  # fmt: skip


def test_old_ones_are_not_kept(desk: Desk) -> None:
    config = desk.folder / "letterlock.toml"
    config.write_text(config.read_text() + '[tlsrpt]\nkeep_received = "30d"\n')
    text = desk.run("import", desk.write("a", make_report(32)), desk.write("b", make_report(29)))[1]
    assert "1 report is older than tlsrpt.keep_received, and is not kept" in text
    assert len(desk.ask("list", "--since", "2000-01-01")[1]["reports"]) == 1


def test_standard_input_is_imported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(make_mail(make_report()))))
    assert desk.ask("import", "-")[1]["new"] == 1


def test_what_is_refused_and_what_cannot_be_read_is_told(desk: Desk) -> None:
    bad = desk.write("bad.json", b'{"policies": ')
    for number in range(25):
        desk.write(f"bad{number}.json", b'{"policies": ')
    code, document = desk.ask("import", bad, "/nowhere/x")
    assert code == 1
    assert [each["file"] for each in document["refused"]] == [bad]
    assert document["unreadable"] == [{"file": "/nowhere/x", "error": "No such file or directory"}]
    assert desk.ask("import", "/nowhere/x")[0] == 3
    code, text = desk.run("import", str(desk.folder / "in"))
    assert text.count("not JSON") == 20
    assert "and 6 more; --json has them all" in text


def test_links_to_folders_and_pipes_are_passed_over(desk: Desk) -> None:
    desk.write("report.json", make_report())
    (desk.folder / "in" / "loop").symlink_to(desk.folder / "in")
    os.mkfifo(desk.folder / "in" / "pipe")
    (desk.folder / "in" / "broken").symlink_to("/nowhere/x")
    code, document = desk.ask("import", str(desk.folder / "in"))
    assert (code, document["files"], document["new"]) == (3, 1, 1)
    assert [each["file"][-6:] for each in document["unreadable"]] == ["broken"]


def test_a_folder_that_is_closed_is_named_and_not_empty(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`import` by root reads as the owner of data_dir, who may not see into everybody's Maildir."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    desk.write("report", make_report())
    (desk.folder / "in" / "closed").mkdir(mode=0o700)
    for folder in (desk.folder, desk.folder / "in"):
        folder.chmod(0o755)
    monkeypatch.chdir(desk.folder)
    os.seteuid(65534)
    try:
        files = list(list_files(("in", "in/closed/x")))
        for closed in files[1:]:
            with pytest.raises(PermissionError):
                list(read_messages(closed))
    finally:
        os.seteuid(0)
    assert files == ["in/report", "in/closed", "in/closed/x"]


def test_kept_reports_are_listed_and_given_as_they_came(desk: Desk) -> None:
    octets = make_report(1)
    desk.run(
        "import", desk.write("a.json", octets), desk.write("b.json", make_report(2, "y.example"))
    )
    desk.run("import", desk.write("a.json", octets))
    code, document = desk.ask("list")
    assert (code, document["more"]) == (0, False)
    second, first = document["reports"]
    assert (first["submitter"], second["submitter"]) == ("x.example", "y.example")
    assert (first["copies"], first["standing"], first["way"]) == (1, "counted", "import")
    assert first["domains"] == [DOMAIN]
    assert set(first) == {
        key.removeprefix("reports[].").removesuffix("[]") for key in LIST_KEYS if "." in key
    }
    assert desk.run("list", "--raw", str(first["id"])) == (0, octets.decode())
    code, text = desk.run("list", "--raw", "99")
    assert (code, text) == (2, "letterlock: no report 99 is kept; `tlsrpt list` tells their ids\n")
    assert desk.ask("list", "--limit", "1")[1]["more"]
    assert desk.ask("list", "other.example")[1]["reports"] == []
    assert desk.ask("list", "--since", str(today() - timedelta(1)))[1]["reports"] == [first]
    text = desk.run("list", "--limit", "1")[1]
    assert "y.example: company-y.example\nand more: --limit shows them" in text
    assert "came 1 time more" in desk.run("list")[1]


def test_without_reports_that_is_said(desk: Desk) -> None:
    assert "No reports are kept on days from" in desk.run("list")[1]
    assert "No reports count for days from" in desk.run("summary")[1]
    assert "no reports count" in desk.run("summary", DOMAIN)[1]
    code, text = desk.run("advise", DOMAIN)
    assert code == 1
    assert "is there a TLSRPT record, and a policy?" in " ".join(text.split())


def test_a_domain_is_summed_up(desk: Desk) -> None:
    for days, who, is_failing in ((1, "x.example", True), (2, "y.example", False)):
        desk.run("import", desk.write("a.json", make_report(days, who, is_failing=is_failing)))
    code, document = desk.ask("summary", DOMAIN)
    assert code == 1
    assert document["totals"] == [{"type": "sts", "successful": 10652, "failed": 303, "unknown": 0}]
    (failure,) = document["failures"]
    assert (failure["result_type"], failure["new"]) == ("certificate-expired", True)
    assert failure["means"].startswith("the certificate has expired. Whose: ")
    assert [each["submitter"] for each in document["submitters"]] == ["x.example", "y.example"]
    assert [each["type"] for each in document["policies"]] == ["sts"]
    documented = {key.partition("[")[0].partition(".")[0] for key in SUMMARY_KEYS}
    assert set(document) == documented - {"domains"}
    text = " ".join(desk.run("summary", DOMAIN)[1].split())
    assert "FAILED MTA-STS: 303 of 10955 sessions failed, 2.77%" in text
    assert "new 303 certificate-expired at mx1.mail.company-y.example under MTA-STS" in text
    assert "mode: testing" in text
    (domain,) = desk.ask("summary")[1]["domains"]
    assert (domain["domain"], domain["reports"], domain["submitters"]) == (DOMAIN, 2, 2)
    assert "company-y.example: 2 reports of 2 senders" in desk.run("summary")[1]


def test_policies_as_seen_are_compared_with_what_is_published(desk: Desk) -> None:
    config = desk.folder / "letterlock.toml"
    desk.run("import", desk.write("a", make_report()))
    assert desk.ask("summary", DOMAIN)[1]["policies"][0]["published"] is None
    for max_age, is_published in (("1d", True), ("2d", False)):
        text = (
            'hostname = "mx.company-y.example"\n'
            f'domains = ["{DOMAIN}"]\n'
            f'contact = "postmaster@example.org"\ndata_dir = "{desk.folder}/data"\n'
            f'[publishing.mta_sts]\ndomains = ["{DOMAIN}"]\nmode = "testing"\n'
            f'mx = ["*.company-y.example"]\nmax_age = "{max_age}"\n'
        )
        config.write_text(text)
        (policy,) = desk.ask("summary", DOMAIN)[1]["policies"]
        assert policy["published"] is is_published
        said = " ".join(desk.run("summary", DOMAIN)[1].split())
        assert ("; as published" in said) is is_published
        assert ("; NOT what is published now" in said) is not is_published


def test_an_id_that_no_database_has_is_wrong_usage(desk: Desk) -> None:
    assert desk.run("list", "--raw", f"{2**63 - 1}")[0] == 2
    assert "is not in the range" in desk.run("list", "--raw", f"{2**63}")[1]


def test_a_domain_that_is_none_is_wrong_usage(desk: Desk) -> None:
    assert desk.run("summary", "not a domain")[0] == 2


def test_advice_rests_on_what_is_kept(desk: Desk) -> None:
    for days in range(1, 16):
        desk.write(f"{days}", make_report(days))
        desk.write(f"y{days}", make_report(days, "y.example"))
    desk.run("import", str(desk.folder / "in"))
    code, document = desk.ask("advise", DOMAIN)
    assert (code, document["verdict"], document["reasons"]) == (0, "enforce", [])
    assert set(document) == {key.removesuffix("[]") for key in ADVICE_KEYS}
    assert "mode: enforce is safe" in desk.run("advise", DOMAIN)[1]
    desk.run("import", desk.write("z", make_report(1, "z.example", is_failing=True)))
    code, text = desk.run("advise", DOMAIN)
    assert code == 1
    assert "FAILED     303 certificate-expired" in text
    assert "303 sessions failed" in text


def test_what_is_not_told_is_not_called_fine(desk: Desk) -> None:
    """RFC 8460 §4.2: a count that a report leaves out is not zero."""
    day = f"{today()}T00:00:00Z"
    document = make_document(
        **{
            "contact-info": None,
            "organization-name": None,
            "date-range": {"start-datetime": day, "end-datetime": day},
        },
        policies=[make_result(summary={"total-failure-session-count": None}, failure_details=[])],
    )
    desk.run("import", desk.write("a", encode(document)))
    text = desk.run("summary", DOMAIN)[1]
    assert "not told   MTA-STS: 0 of 5326 sessions failed; 1 result does not tell all" in text
    assert "senders    not told, 1 day" in text


def test_the_documented_keys_are_those_of_the_answer(desk: Desk) -> None:
    document = desk.ask("import", desk.write("a", make_report()))[1]
    assert set(document) == {key.partition("[")[0] for key in IMPORT_KEYS}


def test_a_database_that_cannot_be_read_is_one_line(desk: Desk) -> None:
    (desk.folder / "data" / "node.sqlite").write_bytes(1000 * b"no database")
    for command in (("list",), ("import", desk.write("a", make_report()))):
        code, text = desk.run(*command)
        assert code == 3
        assert text.count("\n") == 1
        assert "node.sqlite" in text
