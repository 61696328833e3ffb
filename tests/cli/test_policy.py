"""`letterlock policy explain` and `policy test`: the shape of the answer, exit codes, the story."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli.root import main
from tests.interop.background import zones

POLICY_HOST = "127.0.0.1"
ZONES = {
    "com": "@ NS ns.com.",
    "plain.example": """
        @ MX 10 mx
        @ MX 20 mx2
        mx A 127.0.0.1
        mx2 A 127.0.0.2
        _smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@plain.example"
        """,
    "signed.example": f"""
        @ MX 10 mx
        mx A 127.0.0.1
        _25._tcp.mx TLSA 3 1 1 {"11" * 32}
        _25._tcp.mx TLSA 1 1 1 {"22" * 32}
        """,
    "null.example": "@ MX 0 .",
}


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with zones(ZONES, authentic_data=True) as address:
        yield address


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no configuration, as for somebody who runs no node."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("letterlock.base.config.load.SYSTEM_CONFIG", tmp_path / "none.toml")


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["policy", *arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_it_works_without_a_configuration(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = ask(capsys, "explain", "bob@Plain.example", "--resolver", resolver)
    assert code == 0
    assert (document["domain"], document["next_hop"]) == ("plain.example", "plain.example")
    assert document["resolver"]["address"] == resolver
    assert document["mta_sts"] is None
    assert document["tlsrpt"] == {
        "record": "v=TLSRPTv1; rua=mailto:tls@plain.example",
        "rua": ["mailto:tls@plain.example"],
        "error": None,
    }
    assert (document["mx_status"], document["decision"]) == ("secure", "deliver")
    assert [(host["name"], host["preference"]) for host in document["hosts"]] == [
        ("mx.plain.example", 10),
        ("mx2.plain.example", 20),
    ]
    host = document["hosts"][0]
    assert host["addresses"] == [{"ip": "127.0.0.1", "status": "secure", "trial": None}]
    assert (host["tlsa_status"], host["tlsa_base"], host["tlsa"]) == ("none", None, [])
    assert host["requirement"]["level"] == "may"
    assert host["requirement"]["source"] == "opportunistic"
    assert (host["handshake"], host["verdict"]) == (None, None)


def test_records_are_shown_with_what_they_are_worth(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 7672 §3.1.3"""
    code, document = ask(capsys, "explain", "signed.example", "--resolver", resolver)
    (host,) = document["hosts"]
    assert code == 0
    assert host["tlsa"] == [
        {"record": f"3 1 1 {'11' * 32}", "usable": True, "why": None},
        {
            "record": f"1 1 1 {'22' * 32}",
            "usable": False,
            "why": "PKIX-EE(1) is not used for SMTP",
        },
    ]
    assert (host["tlsa_base"], host["tlsa_status"]) == ("mx.signed.example", "usable")
    requirement = host["requirement"]
    assert (requirement["source"], requirement["level"]) == ("dane", "dane")
    assert requirement["usable"] is True
    assert requirement["sni"] == "mx.signed.example"


@pytest.mark.parametrize(
    ("asked", "code", "decision", "status"),
    [
        ("null.example", 1, "bounce", "secure"),
        ("nothing.example", 1, "bounce", "secure"),
        ("[127.0.0.1]:2525", 0, "deliver", None),
        ("[mx.plain.example]", 0, "deliver", None),
    ],
)
def test_the_exit_code_says_whether_a_message_could_go(
    asked: str,
    code: int,
    decision: str,
    status: str | None,
    resolver: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given, document = ask(capsys, "explain", asked, "--resolver", resolver)
    assert (given, document["decision"], document["mx_status"]) == (code, decision, status)


def test_without_an_answer_nothing_is_decided(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = ask(capsys, "explain", "plain.example", "--resolver", "127.0.0.1:1")
    assert (code, document["decision"], document["mx_status"]) == (3, "undecidable", "failed")


@pytest.mark.parametrize(
    "arguments",
    [
        ["plain example"],
        ["bob@"],
        ["plain.example", "--resolver", "localhost"],
        ["plain.example", "--log", "no-such-file"],
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(
    arguments: list[str], resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [] if "--resolver" in arguments else ["--resolver", resolver]
    assert main(["policy", "explain", *arguments, *own]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_person_gets_a_story(resolver: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", "signed.example", "--resolver", resolver]) == 0
    story = capsys.readouterr().out
    assert "\x1b" not in story
    assert story.startswith("Mail for signed.example\n  decision   deliver: a message could go out")
    assert "mx.signed.example (preference 10)" in story
    assert "1 1 1 22222" in story
    assert "not usable: PKIX-EE(1) is not used for SMTP" in words(story)
    assert "a certificate that matches no usable TLSA record" in words(story)
    assert all(len(line) <= 100 for line in story.splitlines())


def words(story: str) -> str:
    """Give a story without its line breaks."""
    return " ".join(story.split())
