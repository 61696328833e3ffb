"""`letterlock check`: the document, exit codes, the story; servers that misbehave, real DNS."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli.check import CHECK_KEYS
from letterlock.cli.root import main
from letterlock.protocols.check.senders import SENDERS
from tests.interop.background import in_background, zones
from tests.misbehaving import Conduct, Server, serving
from tests.network.certificates import authority, issue

HOSTS = ("mx.good.example", "mx.clear.example", "mx.busy.example")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    conducts = (
        Conduct(issue((HOSTS[0],))),
        Conduct(has_starttls=False),
        Conduct(answers={"banner": "421 4.3.2 too many connections"}),
    )
    with in_background(serving(*conducts)) as found:
        yield list(found)


@pytest.fixture(scope="module")
def resolver(servers: list[Server]) -> Iterator[str]:
    records = {
        "com": "@ NS ns.com.",
        **{
            host.partition(".")[2]: f"@ MX 10 mx\nmx A {server.ip}"
            for host, server in zip(HOSTS, servers, strict=True)
        },
        "null.example": "@ MX 0 .",
    }
    with zones(records, authentic_data=True) as address:
        yield address


@pytest.fixture
def config(tmp_path: Path, servers: list[Server], resolver: str) -> str:
    (tmp_path / "ca.pem").write_bytes(authority().pem)
    path = tmp_path / "letterlock.toml"
    path.write_text(
        f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{tmp_path / "data"}"
[deliver]
port = {servers[0].port}
[policy]
trust_files = ["{tmp_path / "ca.pem"}"]
[dns]
resolver = "{resolver}"
"""
    )
    return str(path)


def check(config: str, *arguments: str) -> int:
    return main(["check", "--config", config, "--pace", "0", "--timeout", "5", *arguments])


def test_the_document_of_a_good_domain(
    config: str, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    before = servers[0].seen.connections
    # An address of loopback is one fault that every domain of the tests has.
    assert check(config, "--json", "good.example") == 1
    document = json.loads(capsys.readouterr().out)
    (host,) = document["hosts"]
    assert (document["domain"], host["name"]) == ("good.example", HOSTS[0])
    (address,) = host["addresses"]
    assert (address["state"], address["ip"]) == ("ok", servers[0].ip)
    asked = [(probe["asked"], probe["sni"], probe["state"]) for probe in address["probes"]]
    assert asked == [
        ("own", HOSTS[0], "ok"),
        ("none", None, "ok"),
        ("wrong", "unknown.invalid", "ok"),
        ("own", HOSTS[0], "not tested"),
    ]
    assert address["probes"][0]["handshake"]["chain"][0]["names"] == [HOSTS[0]]
    outcomes = {each["sender"]: each["outcome"] for each in document["verdicts"]}
    assert set(outcomes) == {each.name for each in SENDERS}
    assert outcomes["verify-no-sni"] == "authenticated"
    assert outcomes["dane-only"] == "defer"
    live = [each for each in document["findings"] if each["where"].startswith(HOSTS[0] + "[")]
    assert [each["id"] for each in live if each["severity"] != "info"] == []
    # The paths of what is not null here.
    assert set(_paths(document)) <= set(CHECK_KEYS)
    assert servers[0].seen.connections == before + 3
    assert servers[0].seen.mails == []


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Give the paths of a document; those of shapes that are described elsewhere end there."""
    if path in CHECK_KEYS or path.startswith("resolver"):
        yield path if path in CHECK_KEYS else "resolver"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, f"{path}[]")
    else:
        yield path


def test_several_domains_are_a_list_and_a_file_may_name_them(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text("# ours\nclear.example  # in clear\n\nbusy.example\n")
    assert check(config, "--json", "null.example", "--file", str(tmp_path / "list")) == 1
    documents = {each["domain"]: each for each in json.loads(capsys.readouterr().out)}
    assert documents.keys() == {"null.example", "clear.example", "busy.example"}
    found = {
        domain: {each["id"] for each in document["findings"]}
        for domain, document in documents.items()
    }
    assert "no-route" in found["null.example"]
    assert "starttls-not-offered" in found["clear.example"]
    assert "host-blocked-us" in found["busy.example"]
    (host,) = documents["busy.example"]["hosts"]
    assert host["addresses"][0]["state"] == "blocked"
    outcomes = {each["outcome"] for each in documents["busy.example"]["verdicts"]}
    assert outcomes == {"undecidable", "defer"}
    assert {each["outcome"] for each in documents["null.example"]["verdicts"]} == {"bounce"}


def test_the_story_says_who_gets_through_and_what_to_do(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config, "clear.example", "busy.example") == 1
    captured = capsys.readouterr()
    story = " ".join(captured.out.split())
    assert "Gmail, Outlook: MTA-STS: arrives in CLEAR" in story
    assert "Postfix at level verify: WAITS: TLS is required" in story
    assert "to do: switch TLS on" in story
    assert "blocked, it said 421 4.3.2 too many connections" in story
    assert "\x1b" not in captured.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a domain"),
        (("good.example:25",), "not a domain"),
        (("[192.0.2.1]",), "not a domain"),
        (("a..b",), "a..b"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: tuple[str, ...], said: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config, *arguments) == 2
    assert said in capsys.readouterr().err
