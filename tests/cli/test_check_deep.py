"""`letterlock check --deep`: what is found of real TLS, what is said beforehand, and asked."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli import check_deep
from letterlock.cli.check import CHECK_KEYS
from letterlock.cli.check_deep import DEEP_KEYS
from letterlock.cli.root import main
from letterlock.services.check.deep import DEFAULT_CONNECTIONS
from tests.interop.background import in_background, zones
from tests.misbehaving import Conduct, Server, TlsConduct, serving
from tests.network.certificates import authority, issue

HOSTS = ("mx.good.example", "mx.weak.example", "mx.clear.example")
FEW = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
WEAK = "ECDHE-ECDSA-AES128-GCM-SHA256:AECDH-AES128-SHA:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"
TLS_1_0, TLS_1_2 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    strict = TlsConduct(ciphers=FEW)
    old = TlsConduct(ciphers=WEAK, versions=(TLS_1_0, TLS_1_2))
    conducts = (
        Conduct(issue((HOSTS[0],)), strict, is_strict_about_ends=True),
        Conduct(issue((HOSTS[1],)), old, keeps_commands=True),
        Conduct(has_starttls=False),
    )
    with in_background(serving(*conducts)) as found:
        yield list(found)


@pytest.fixture(scope="module")
def config(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    records = {
        "com": "@ NS ns.com.",
        **{
            host.partition(".")[2]: f"@ MX 10 mx\nmx A {server.ip}"
            for host, server in zip(HOSTS, servers, strict=True)
        },
    }
    folder = tmp_path_factory.mktemp("deep")
    (folder / "ca.pem").write_bytes(authority().pem)
    with zones(records, authentic_data=True) as resolver:
        path = folder / "letterlock.toml"
        path.write_text(
            f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{folder / "data"}"
[deliver]
port = {servers[0].port}
[policy]
trust_files = ["{folder / "ca.pem"}"]
[dns]
resolver = "{resolver}"
"""
        )
        yield str(path)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_deep, "_is_terminal", lambda: False)


def check(config: str, *arguments: str) -> int:
    patience = ("--pace", "0", "--timeout", "60")
    return main(["check", "--config", config, *patience, "--deep", *arguments])


def find_deep(document: dict[str, Any]) -> Any:
    (host,) = document["hosts"]
    (address,) = host["addresses"]
    return address["deep"]


def find_ids(document: dict[str, Any]) -> set[str]:
    return {each["id"] for each in document["findings"]}


def test_several_domains_as_json(
    config: str, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    before, mails = servers[0].seen.connections, [len(each.seen.mails) for each in servers]
    assert check(config, "--json", "good.example", "weak.example", "clear.example") == 1
    captured = capsys.readouterr()
    assert "--deep makes up to 100 connections more to each address, one at a time" in captured.err
    documents = {each["domain"]: each for each in json.loads(captured.out)}
    good = find_deep(documents["good.example"])
    assert good["versions"]["TLSv1.3"] == good["versions"]["TLSv1.2"] == "offered"
    assert good["versions"]["TLSv1.1"] == good["versions"]["SSLv3"] == "refused"
    old = {each["name"] for each in good["suites"] if each["version"] == "TLSv1.2"}
    assert old == {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    }
    assert {"x25519", "secp256r1"} <= set(good["groups"])
    assert (good["stopped"], good["is_complete"]) == (None, True)
    assert good["injection"]["state"] == "discarded"
    assert (good["secure_renegotiation"], good["compression"]) == (True, False)
    parts = [key.partition(".deep.")[2].split(".")[0] for key in DEEP_KEYS]
    assert set(good) == {part.removesuffix("[]") for part in parts if part}
    weak = find_deep(documents["weak.example"])
    assert weak["injection"]["state"] == "executed"
    assert weak["versions"]["TLSv1"] == "offered"
    expected = {"null-suites", "anonymous-suites", "old-tls-offered", "tls-1-3-not-offered"}
    assert expected | {"starttls-injection"} <= find_ids(documents["weak.example"])
    assert not expected & find_ids(documents["good.example"])
    assert find_deep(documents["clear.example"]) is None
    assert servers[0].seen.connections == before + 3 + good["connections"]
    assert [len(each.seen.mails) for each in servers] == mails
    assert DEEP_KEYS.items() <= CHECK_KEYS.items()


def test_the_story_and_the_page(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    arguments = ("--deep-connections", "8", "--html", str(path), "weak.example")
    assert check(config, *arguments) == 1
    story = " ".join(capsys.readouterr().out.split())
    assert "critical starttls-injection at mx.weak.example[" in story
    assert "deep: TLSv1.2 TLSv1.1 TLSv1, 2 suites, 0 groups, by 8 connections, not all: 7" in story
    page = path.read_text()
    assert "What its TLS would take" in page
    assert "TLSv1.3 refused, TLSv1.2 offered" in page
    assert "TLS_ECDHE_ECDSA_WITH_NULL_SHA (null)" in page
    assert "executed" in page


def test_one_service_is_looked_at_deeply_too(
    config: str, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{HOSTS[0]}:{servers[0].port}"
    assert check(config, "--deep-connections", "6", "--json", place, "--starttls", "smtp") == 0
    deep = find_deep(json.loads(capsys.readouterr().out))
    assert (deep["connections"], deep["injection"]["state"]) == (6, "discarded")


def test_messages_are_sent_to_ones_own_postmaster_alone(
    config: str, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--deep-connections", "8", "--json", "--i-own-this")
    before = len(servers[0].seen.taken)
    # An address of loopback is one fault that every domain of the tests has.
    assert check(config, *arguments, "good.example") == 1
    captured = capsys.readouterr()
    assert "sends up to 6 test messages to postmaster@good.example" in captured.err
    states = {each["state"] for each in find_deep(json.loads(captured.out))["smuggling"]}
    assert states == {"not taken for the end"}
    assert len(servers[0].seen.taken) == before + 6
    assert {each.recipients for each in servers[0].seen.taken} == {("postmaster@good.example",)}
    assert check(config, *arguments, "weak.example") == 1
    document = json.loads(capsys.readouterr().out)
    assert "smtp-smuggling" in find_ids(document)


@pytest.mark.parametrize("is_sure", [True, False])
def test_at_a_terminal_it_is_asked_first(
    config: str,
    servers: list[Server],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_sure: bool,
) -> None:
    before = servers[1].seen.connections
    monkeypatch.setattr(check_deep, "_is_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_, **__: is_sure)
    code = check(config, "--deep-connections", "7", "--i-own-this", "weak.example")
    if is_sure:
        assert code == 1
        assert servers[1].seen.connections > before
    else:
        assert servers[1].seen.connections == before
        assert "nothing was sent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--deep", "--i-own-this", "good.example", "weak.example"), "is for one domain"),
        (("--deep", "--i-own-this", "mx.good.example:25"), "is for one domain"),
        (("--i-own-this", "good.example"), "--i-own-this is for --deep"),
        (("--deep", "--deep-connections", "301", "good.example"), "301"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: tuple[str, ...], said: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", config, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_default_is_said_as_it_is() -> None:
    assert check_deep.DEFAULT_CONNECTIONS == DEFAULT_CONNECTIONS
