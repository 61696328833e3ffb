"""`letterlock tlsrpt show`: exit codes, the documents, the story for people."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli import tlsrpt_text
from letterlock.cli.root import main
from letterlock.cli.tlsrpt_show import SHOW_KEYS
from letterlock.protocols.tlsrpt.meanings import MEANINGS
from tests.protocols.tlsrpt.corpus import (
    APPENDIX_B,
    GOOGLE,
    GOOGLE_NO_POLICY,
    MICROSOFT,
    encode,
    make_document,
    make_failure,
    make_mail,
    make_result,
)

CLEAN = encode(GOOGLE.document)


def write(folder: Path, octets: bytes, name: str = "report") -> str:
    path = folder / name
    path.write_bytes(octets)
    return str(path)


def show_json(capsys: pytest.CaptureFixture[str], *files: str) -> list[dict[str, Any]]:
    main(["tlsrpt", "show", "--json", *files])
    documents: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return documents


def tell(document: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["tlsrpt", "show", write(folder, encode(document))]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_document_of_each_file_has_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        write(tmp_path, CLEAN, "a"),
        write(tmp_path, make_mail(encode(MICROSOFT.document)), "b"),
        write(tmp_path, b"{}", "c"),
    ]
    assert main(["tlsrpt", "show", "--json", *files]) == 1
    clean, tolerated, refused = json.loads(capsys.readouterr().out)
    assert [clean["verdict"], tolerated["verdict"], refused["verdict"]] == [
        "clean",
        "tolerated",
        "refused",
    ]
    assert clean == {
        "file": files[0],
        "verdict": "clean",
        "repairs": [],
        "error": None,
        "report": {
            "organization_name": "Google Inc.",
            "report_id": "2026-04-01T00:00:00Z_x",
            "start": "2026-04-01T00:00:00Z",
            "end": "2026-04-01T23:59:59Z",
            "contact_info": "sts-reporting@company-x.example",
            "policies": [
                {
                    "type": "sts",
                    "domain": "company-y.example",
                    "strings": [
                        "version: STSv1",
                        "mode: enforce",
                        "mx: *.mail.company-y.example",
                        "max_age: 86400",
                    ],
                    "mx_hosts": ["*.mail.company-y.example"],
                    "successful": 5326,
                    "failed": 303,
                    "failures": [
                        {
                            "result_type": "certificate-expired",
                            "count": 303,
                            "sending_mta_ip": "198.51.100.62",
                            "receiving_mx_hostname": "mx1.mail.company-y.example",
                            "receiving_mx_helo": None,
                            "receiving_ip": "2001:db8::1",
                            "additional_information": None,
                            "reason_code": None,
                        }
                    ],
                }
            ],
        },
    }
    assert len(tolerated["repairs"]) == 4
    assert refused["error"] == 'not a TLS report: it has no "policies"'
    assert refused["report"] is None


def test_each_key_of_the_document_is_in_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (document,) = show_json(capsys, write(tmp_path, CLEAN))

    def paths(value: Any, path: str) -> set[str]:
        if isinstance(value, dict):
            return {each for name in value for each in paths(value[name], f"{path}.{name}")}
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return paths(value[0], f"{path}[]")
        return {path}

    assert paths([document], "") | {"[].report"} == set(SHOW_KEYS)


def test_unknown_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    octets = b'{"policies": [{"failure-details": [{}]}]}'
    (document,) = show_json(capsys, write(tmp_path, octets))
    report = document["report"]
    assert report["start"] is None
    (policy,) = report["policies"]
    assert (policy["successful"], policy["failed"], policy["type"]) == (None, None, None)
    assert set(policy["failures"][0].values()) == {None}


@pytest.mark.parametrize(
    ("octets", "code"), [(CLEAN, 0), (gzip.compress(APPENDIX_B), 0), (b"x", 1)]
)
def test_standard_input_and_exit_codes(
    octets: bytes, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    assert main(["tlsrpt", "show", "-"]) == code


def test_a_file_that_cannot_be_read_is_undecided_and_the_others_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none\x1b")
    assert main(["tlsrpt", "show", missing, write(tmp_path, CLEAN)]) == 3
    captured = capsys.readouterr()
    assert (
        captured.err == f"letterlock: {tmp_path}/none?: cannot be read: No such file or directory\n"
    )
    assert "Google Inc." in captured.out
    assert main(["tlsrpt", "show", missing, write(tmp_path, b"x")]) == 1
    assert main(["tlsrpt", "show", str(tmp_path)]) == 3
    assert main(["tlsrpt", "show", *[write(tmp_path, CLEAN)] * 2]) == 0
    assert "\n\n" in capsys.readouterr().out


def test_output_that_cannot_be_written_is_no_fault_of_the_file(tmp_path: Path) -> None:
    arguments = ["tlsrpt", "show", write(tmp_path, CLEAN)]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "letterlock", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert ended.stderr == "letterlock: cannot write the output: No space left on device\n"
    assert ended.returncode == 3


def test_no_file_is_wrong_usage() -> None:
    assert main(["tlsrpt", "show"]) == 2


def test_each_mail_of_a_mailbox_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = make_mail(CLEAN).replace(b"\r\n", b"\n")
    box = b"".join(
        b"From a Thu Apr  2 10:00:00 2026\n" + each + b"\n" for each in (mail, b"A: b\n")
    )
    file = write(tmp_path, box)
    first, second = show_json(capsys, file)
    assert (first["file"], first["verdict"]) == (f"{file}:1", "clean")
    assert (second["file"], second["verdict"]) == (f"{file}:2", "refused")


def test_a_mail_without_a_report_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (document,) = show_json(capsys, write(tmp_path, b"Subject: x\n\nhello"))
    assert document["error"].startswith("no report: ")


def test_a_story_tells_who_reports_what_failed_and_what_that_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = tell(GOOGLE.document, tmp_path, capsys)
    assert "from Google Inc. (sts-reporting@company-x.example) about 2026-04-01, a day" in story
    assert "FAILED company-y.example, MTA-STS, mode: enforce: 303 of 5629 sessions" in story
    assert "303 certificate-expired at mx1.mail.company-y.example from 198.51.100.62" in story
    assert f"= {MEANINGS['certificate-expired'].what}." in story


def test_what_failed_comes_first_and_policies_are_not_added_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = make_result({"policy-domain": "fine.example"}, {"total-failure-session-count": 0}) | {
        "failure-details": []
    }
    few = make_result({"policy-domain": "few.example"}, {"total-failure-session-count": 1})
    story = tell(make_document(policies=[fine, few, make_result()]), tmp_path, capsys)
    order = [story.index(name) for name in ("company-y.example,", "few.example", "fine.example")]
    assert order == sorted(order)
    assert "few.example, MTA-STS, mode: enforce: 1 of 5327 sessions failed, less than 0.1%" in story
    assert "fine fine.example, MTA-STS, mode: enforce: 5326 sessions, none failed" in story
    assert "15978" not in story


@pytest.mark.parametrize(
    ("successful", "failed", "words"),
    [
        (None, None, "how many sessions there were is not told"),
        (1, None, "1 session fine, how many failed is not told"),
        (None, 2, "2 sessions failed, how many did not is not told"),
        (0, 0, "no sessions"),
    ],
)
def test_what_is_not_told_is_said_so(
    successful: int | None,
    failed: int | None,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = {
        "total-successful-session-count": successful,
        "total-failure-session-count": failed,
    }
    result = make_result(summary=summary, failure_details=[])
    assert words in tell(make_document(policies=[result]), tmp_path, capsys)


def test_a_report_of_little_is_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = tell({"policies": []}, tmp_path, capsys)
    assert "from not told about from a time not told to a time not told" in story
    assert "policies none: the report says nothing" in story
    story = tell(
        {"policies": [{"failure-details": [{}]}], "organization-name": "X"}, tmp_path, capsys
    )
    assert "FAILED a domain not told, a policy not told" in story
    assert "an unknown number without a result type" in story
    assert "no policy" in tell(GOOGLE_NO_POLICY.document, tmp_path, capsys)


def test_what_a_result_means_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = [make_failure(), make_failure(receiving_mx_hostname="mx2.company-y.example")]
    story = tell(make_document(policies=[make_result(failure_details=failures)]), tmp_path, capsys)
    assert "at mx2.company-y.example" in story
    assert story.count(MEANINGS["certificate-expired"].what) == 1


def test_a_range_that_is_no_day_is_told_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dates = {"start-datetime": "2026-04-01T00:00:00Z", "end-datetime": "2026-04-08T00:00:00Z"}
    story = tell(make_document(**{"date-range": dates}), tmp_path, capsys)
    assert "about 2026-04-01T00:00:00Z to 2026-04-08T00:00:00Z" in story


def test_a_story_fits_on_a_screen_whatever_is_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = [
        make_failure(result_type=f"Kind_{number}", sending_mta_ip=None, failed_session_count=number)
        for number in range(200)
    ]
    alike = [make_failure(sending_mta_ip=f"192.0.2.{number}") for number in range(200)]
    unknown = make_failure(failed_session_count=None)
    results = [
        make_result(failure_details=[*failures, *alike, unknown]),
        *[make_result({"policy-domain": f"{'x' * 60}.{number}.Example."}) for number in range(200)],
    ]
    document = make_document(policies=results, **{"organization-name": "x" * 5000})
    file = write(tmp_path, encode(document))
    assert main(["tlsrpt", "show", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50
    assert all(len(line) <= 80 for line in lines[1:])
    story = " ".join(" ".join(lines).split())
    assert "60600 or more certificate-expired at mx1.mail.company-y.example from" in story
    assert "192.0.2.0 and 200 more" in story
    assert "and 198 other kinds of failures" in story
    assert f"and {201 - tlsrpt_text.MAX_POLICIES} policies more" in story


def test_nothing_of_a_report_can_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[31m\x9b\x07\u202e\n\r"
    failure = make_failure(
        **dict.fromkeys(("receiving_mx_hostname", "failure_reason_code", "result_type"), evil)
    )
    document = make_document(
        policies=[
            make_result(
                {"policy-domain": evil, "policy-string": [f"mode: {evil}"]},
                failure_details=[failure],
            )
        ],
        **{"organization-name": evil, "contact-info": evil, "report-id": evil},
    )
    file = write(tmp_path, encode(document), "report\x1b")
    assert main(["tlsrpt", "show", file]) == 0
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert main(["tlsrpt", "show", "--json", file]) == 0
    assert all(c.isprintable() or c == "\n" for c in capsys.readouterr().out)
