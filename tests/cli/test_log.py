"""`letterlock log explain`: exit codes, the document, the story for people."""

import gzip
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli import progress
from letterlock.cli.log_explain import EXPLAIN_KEYS
from letterlock.cli.root import main
from letterlock.protocols.mail_log.causes import REMEDIES
from letterlock.protocols.pki.throwaway_ca import self_signed
from letterlock.services.explain import log_files
from tests.interop.background import in_background
from tests.misbehaving import Conduct, TlsConduct, serving
from tests.network.certificates import NOW, authority, issue

PEER = "mx.peer.example[192.0.2.1]:25"
STAMP = "2026-11-22T15:25:24+00:00 mail postfix/smtp[7]: "
UP = f"Untrusted TLS connection established to {PEER}: TLSv1.3 with cipher AES (256/256 bits)"
SENT = f"67CF62BC555: to=<a@peer.example>, relay={PEER}, delay=1, dsn=2.0.0, status=sent (250 ok)"
FAULT = f"server certificate verification failed for {PEER}: certificate has expired"
DEFERRED = (
    f"67CF62BC556: to=<b@peer.example>, relay={PEER}, delay=1, dsn=4.7.5, status=deferred "
    "(Server certificate not verified)"
)


def make_log(*texts: str) -> str:
    return "".join(f"{STAMP}{text}\n" for text in texts)


FINE = make_log(UP, SENT)
BAD = make_log(UP, SENT, UP, FAULT, DEFERRED)


def write(folder: Path, text: str, name: str = "mail.log") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def explain_json(capsys: pytest.CaptureFixture[str], *files: str) -> dict[str, Any]:
    main(["log", "explain", "--json", *files])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_document_has_each_delivery_and_each_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = explain_json(capsys, write(tmp_path, BAD))
    assert document == {
        "deliveries": [
            {
                "time": "2026-11-22T15:25:24Z",
                "queue_id": "67CF62BC555",
                "recipient": "a@peer.example",
                "nexthop_domain": "peer.example",
                "mx": "mx.peer.example",
                "ip": "192.0.2.1",
                "level": None,
                "tls": {"trust": "Untrusted", "version": "TLSv1.3", "cipher": "AES"},
                "status": "sent",
                "dsn": "2.0.0",
                "cause": "ok",
                "result_type": None,
                "evidence": [],
                "fix": "",
            },
            {
                "time": "2026-11-22T15:25:24Z",
                "queue_id": "67CF62BC556",
                "recipient": "b@peer.example",
                "nexthop_domain": "peer.example",
                "mx": "mx.peer.example",
                "ip": "192.0.2.1",
                "level": None,
                "tls": {"trust": "Untrusted", "version": "TLSv1.3", "cipher": "AES"},
                "status": "deferred",
                "dsn": "4.7.5",
                "cause": "certificate-expired",
                "result_type": "certificate-expired",
                "evidence": [FAULT, "Server certificate not verified"],
                "fix": "mx.peer.example has to renew it, and to load it into every server behind "
                "that name",
            },
        ],
        "causes": [
            {
                "cause": "certificate-expired",
                "count": 1,
                "meaning": "a certificate of the chain has expired",
                "hosts": ["mx.peer.example"],
                "domains": ["peer.example"],
                "first": "2026-11-22T15:25:24Z",
                "last": "2026-11-22T15:25:24Z",
                "said": "Server certificate not verified",
                "fix": "mx.peer.example has to renew it, and to load it into every server behind "
                "that name",
            },
            {
                "cause": "ok",
                "count": 1,
                "meaning": "sent over TLS; the certificate was not asked for, or did not matter",
                "hosts": ["mx.peer.example"],
                "domains": ["peer.example"],
                "first": "2026-11-22T15:25:24Z",
                "last": "2026-11-22T15:25:24Z",
                "said": "250 ok",
                "fix": "",
            },
        ],
        "lines": 5,
        "unread": 0,
        "untied": 0,
    }


def test_each_key_of_the_document_is_in_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def paths(value: Any, path: str) -> set[str]:
        if isinstance(value, dict):
            return {found for key in value for found in paths(value[key], f"{path}.{key}")}
        if isinstance(value, list):
            return {found for each in value for found in paths(each, f"{path}[]")} or {path}
        return {path}

    document = explain_json(capsys, write(tmp_path, BAD))
    found = {path.removeprefix(".").removesuffix("[]") for path in paths(document, "")}
    probed = {path for path in EXPLAIN_KEYS if path.startswith("probes")}
    assert found == EXPLAIN_KEYS.keys() - {"deliveries[].tls"} - probed


def test_the_story_has_what_was_said_of_the_last_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a refusal the reply is all that there is; a host may say anything in it."""
    refused = DEFERRED.replace("deferred", "bounced").replace("4.7.5", "5.1.1")
    replies = ["550 nobody", f"550 away\x1b[31m {'x ' * 500}"]
    texts = [refused.replace("Server certificate not verified", reply) for reply in replies]
    main(["log", "explain", write(tmp_path, make_log(SENT, *texts))])
    said = capsys.readouterr().out
    assert "\n  last said  550 away?[31m x" in said
    assert "550 nobody" not in said
    assert 100 < said.count(" x") < 125
    assert said.count("last said") == 1


@pytest.mark.parametrize(("log", "code"), [(FINE, 0), (BAD, 1), ("", 3), ("hello\n", 3)])
def test_exit_codes(log: str, code: int, tmp_path: Path) -> None:
    assert main(["log", "explain", write(tmp_path, log)]) == code
    assert main(["log", "explain", "--json", write(tmp_path, log)]) == code


def test_an_empty_log_is_a_document_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = explain_json(capsys, write(tmp_path, ""))
    assert document == {"deliveries": [], "causes": [], "lines": 0, "unread": 0, "untied": 0}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_standard_input(
    is_packed: bool,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    octets = gzip.compress(FINE.encode()) if is_packed else FINE.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    assert main(["log", "explain", *arguments]) == 0
    assert "1 delivery in 2 lines" in capsys.readouterr().out


def test_a_delivery_may_go_over_two_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.gz").write_bytes(gzip.compress(make_log(UP).encode()))
    old, new = str(tmp_path / "old.gz"), write(tmp_path, make_log(SENT), "new")
    assert explain_json(capsys, old, new)["deliveries"][0]["cause"] == "ok"
    assert explain_json(capsys, new, old)["deliveries"][0]["cause"] == "ok-plaintext-by-policy"


def test_what_cannot_be_read_is_one_line_and_the_rest_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = write(tmp_path, FINE)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(FINE.encode())[:-9])
    assert main(["log", "explain", str(tmp_path / "none\x1b"), str(cut), fine]) == 3
    out, err = capsys.readouterr()
    assert "1 delivery in" in out
    first, second = err.splitlines()
    assert first == f"letterlock: {tmp_path}/none?: cannot be read: No such file or directory"
    assert second.startswith(f"letterlock: {cut}: the gzip in it is broken: ")


def test_the_story_begins_with_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["no log\n", make_log(*(DEFERRED.replace("@peer", f"@{n}") for n in range(5))), BAD]
    assert main(["log", "explain", write(tmp_path, "".join([*lines, make_log(UP)]))]) == 1
    out = capsys.readouterr().out
    assert out.index("certificate-not-verified") < out.index("x ok:")
    assert "0.example, 1.example, 2.example, and others" in out
    assert out.splitlines()[-1] == (
        "7 deliveries in 12 lines, 1 of them delivered; 1 line has no form that is known; "
        "1 line belongs to deliveries that are not in the log"
    )


def test_nothing_of_a_log_can_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = DEFERRED.replace("peer.example", "\x1b]0;x\x07\u202epeer.example").replace("not ", "")
    assert main(["log", "explain", write(tmp_path, make_log(evil))]) == 1
    shown = capsys.readouterr().out
    assert all(each.isprintable() for each in shown.replace("\n", ""))


def test_lines_are_the_same_wherever_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, BAD.rstrip("\n"))
    whole = explain_json(capsys, path)
    for size in (1, 2, 3, 7, 64, 129):
        monkeypatch.setattr(log_files, "PIECE_CHARACTERS", size)
        assert explain_json(capsys, path) == whole


@pytest.mark.parametrize("is_terminal", [True, False])
def test_it_shows_how_far_it_is(
    is_terminal: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(log_files, "PIECE_CHARACTERS", 20)
    for name in ("PROGRESS_SECONDS", "SELDOM_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    path = write(tmp_path, FINE)
    assert main(["log", "explain", path]) == 0
    shown = capsys.readouterr().err
    assert f"reading {path}: 100%" in shown
    assert shown.endswith("\r\x1b[K") is is_terminal


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    """It is read in pieces, which say nothing."""
    (tmp_path / "log").write_bytes(gzip.compress(b"x" * 3_000_000 + b"\n" + FINE.encode()))
    assert main(["log", "explain", str(tmp_path / "log")]) == 0


def test_the_guide_has_every_cause() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "mail-logs.md").read_text("utf-8")
    for cause, remedy in REMEDIES.items():
        assert f"| `{cause}` | {remedy.meaning} |\n" in guide


def test_little_is_known_of_some_deliveries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "someday mail postfix/smtp[7]: " + DEFERRED.replace(PEER, "none").replace(
        "b@peer.example", "b"
    )
    assert main(["log", "explain", write(tmp_path, line)]) == 1
    story = capsys.readouterr().out
    assert "  at " not in story
    assert "  seen " not in story


def test_hosts_are_asked_what_the_log_cannot_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The provider whose certificate for clients without SNI says so."""
    host = "mx.peer.example"
    stranger = self_signed(["invalid2.invalid"], now=NOW)
    conduct = Conduct(stranger, tls=TlsConduct(by_sni=((host, issue((host,))),)))
    (tmp_path / "ca.pem").write_bytes(authority().pem)
    config = tmp_path / "letterlock.toml"
    config.write_text(
        f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{tmp_path / "data"}"
[policy]
trust_files = ["{tmp_path / "ca.pem"}"]
"""
    )
    with in_background(serving(conduct)) as (server,):
        peer = f"{host}[{server.ip}]:{server.port}"
        log = make_log(UP, FAULT.replace("certificate has expired", "self-signed certificate"))
        path = write(tmp_path, (log + make_log(DEFERRED)).replace(PEER, peer))
        arguments = ["log", "explain", "--probe", "--config", str(config), path]
        assert main([*arguments, "--json"]) == 1
        (probe,) = json.loads(capsys.readouterr().out)["probes"]
        assert (probe["logged"], probe["cause"], probe["answered"]) == (
            "self-signed-certificate",
            "no-sni-selfsigned",
            True,
        )
        assert main(arguments) == 1
        assert f"asked {host}[{server.ip}]: no-sni-selfsigned" in capsys.readouterr().out
    assert main(arguments) == 1
    assert f"asked {host}[{server.ip}]: not known" in capsys.readouterr().out


def test_a_log_gives_the_tls_reports_that_it_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 8460, for a server that sends none; `tlsrpt show` reads them without repairs."""
    monkeypatch.setattr("letterlock.base.config.load.SYSTEM_CONFIG", tmp_path / "none.toml")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "reports"
    folder.mkdir()
    path = write(
        tmp_path, BAD + make_log(UP, SENT.replace("C555", "C999")).replace("2026-11-22T15", "when")
    )
    assert main(["log", "explain", "--tlsrpt", str(folder), path]) == 1
    said = capsys.readouterr().err
    assert f"letterlock: 1 report is in {folder}; 1 delivery without a known day" in said
    (report,) = folder.iterdir()
    assert main(["tlsrpt", "show", "--json", str(report)]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["verdict"] == "clean"
    (policy,) = shown["report"]["policies"]
    assert (policy["successful"], policy["failed"]) == (1, 1)
    assert policy["failures"][0]["result_type"] == "certificate-expired"
    folder.chmod(0o500)
    if os.geteuid() != 0:
        assert main(["log", "explain", "--tlsrpt", str(folder), path]) != 0
    assert main(["log", "explain", "--tlsrpt", str(tmp_path / "none"), path]) == 2
