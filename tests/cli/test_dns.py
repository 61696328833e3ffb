"""`letterlock dns records` and `dns check`: what is printed, and the exit codes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.config.load import FoundConfig
from letterlock.cli.dns_check import CHECK_KEYS
from letterlock.cli.dns_records import RECORD_KEYS
from letterlock.cli.root import main
from tests.interop.background import zones
from tests.journeys.running_node import NodeFiles
from tests.network.certificates import write_pair
from tests.services.publish.own import KEY, leaf

ZONES = {
    "com": "@ NS ns.com.",
    "example.org": f"""
        @ NS ns
        ns A 127.0.0.1
        @ MX 10 mx1
        @ TXT "v=spf1 mx -all"
        mx1 A 192.0.2.1
        mx1 AAAA 2001:db8::1
        mx1 TXT "v=spf1 a -all"
        _25._tcp.mx1 TLSA 3 1 1 {KEY}
        _dmarc TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.org"
        _smtp._tls TXT "v=TLSRPTv1; rua=mailto:postmaster@example.org"
        _smtp._tls.mx1 TXT "v=TLSRPTv1; rua=mailto:postmaster@example.org"
        """,
    "2.0.192.in-addr.arpa": "1 PTR mx1.example.org.",
    "8.b.d.0.1.0.0.2.ip6.arpa": f"{'1.' + '0.' * 22}0 PTR mx1.example.org.",
    "bad.example": """
        @ MX 10 mx
        @ TXT "v=spf1 +all"
        mx A 198.41.0.4
        """,
}


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with zones(ZONES, authentic_data=True) as address:
        yield address


@pytest.fixture
def config(tmp_path: Path, resolver: str) -> str:
    certificate, key = write_pair(tmp_path, leaf(), "mx1")
    file = tmp_path / "letterlock.toml"
    file.write_text(f"""
hostname = "mx1.example.org"
domains = ["example.org", "bad.example"]
contact = "postmaster@example.org"
data_dir = "{tmp_path}/data"
[tls]
certificates = [{{ certificate = "{certificate}", key = "{key}" }}]
[publishing]
addresses = ["192.0.2.1", "2001:db8::1"]
[dns_changes]
port = {resolver.rpartition(":")[2]}
""")
    return str(file)


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["dns", *arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


@pytest.mark.parametrize("command", ["records", "check"])
def test_domain_is_named_where_a_node_has_several(
    command: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dns", command, "--config", config]) == 2
    error = capsys.readouterr().err
    assert error == "letterlock: name a DOMAIN: this node has example.org, bad.example\n"


def test_domain_is_named_where_there_is_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = FoundConfig(tmp_path / "letterlock.toml", os.geteuid())
    monkeypatch.setattr("letterlock.base.config.load.find_config", lambda: nothing)
    assert main(["dns", "check"]) == 2
    error = capsys.readouterr().err
    assert error == "letterlock: name a DOMAIN: there is no configuration that has one\n"


@pytest.mark.parametrize("command", ["records", "check"])
def test_domain_goes_without_saying_where_there_is_one(
    command: str, config: str, resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(config)
    path.write_text(path.read_text().replace(', "bad.example"]', "]"))
    asked = ["--resolver", resolver] if command == "check" else []
    code, document = ask(capsys, command, "--config", config, *asked)
    assert (code, document["domain"]) == (0, "example.org")


def test_records_are_lines_of_a_zone_file(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dns", "records", "Example.ORG", "--config", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "example.org. 3600 IN MX 10 mx1.example.org." in lines
    assert f"_25._tcp.mx1.example.org. 3600 IN TLSA 3 1 1 {KEY}" in lines
    assert all(line.startswith(";") or " IN " in line for line in lines)


def test_records_come_as_json_too(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = ask(capsys, "records", "example.org", "--config", config)
    assert (code, document["domain"]) == (0, "example.org")
    keys = {key.removeprefix("records[].") for key in RECORD_KEYS}
    assert all(set(record) == keys for record in document["records"])
    assert any(note.startswith("DKIM: none") for note in document["notes"])


def test_records_of_a_domain_that_is_not_ours_are_not_known(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dns", "records", "elsewhere.example", "--config", config]) == 2
    error = capsys.readouterr().err
    assert error.startswith("letterlock: elsewhere.example is not in `domains`")
    assert "letterlock dns check elsewhere.example" in error


@pytest.mark.parametrize("command", ["records", "check"])
def test_what_is_no_domain_is_refused(
    command: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dns", command, "a..b", "--config", config]) == 2
    assert capsys.readouterr().err.startswith("letterlock: DOMAIN 'a..b': ")


def test_check_finds_nothing_where_all_is_right(
    config: str, resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("check", "example.org", "--config", config, "--resolver", resolver)
    code, document = ask(capsys, *arguments)
    assert (code, document["verdict"]) == (0, "fine")
    assert [each["code"] for each in document["findings"]] == ["mta-sts-unused"]
    assert {record["state"] for record in document["records"]} == {"right"}
    assert document["renewals"][0]["outcomes"] == {
        "same-key": "kept",
        "new-key": "lost",
        "new-issuer": "kept",
    }
    assert main(["dns", *arguments]) == 0
    story = capsys.readouterr().out
    assert "  renewed with a new key: mail with DANE stops coming\n" in story
    assert f"  right      _25._tcp.mx1.example.org. TLSA 3 1 1 {KEY}\n" in story


def test_check_documents_its_answer(
    config: str, resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, document = ask(capsys, "check", "bad.example", "--config", config, "--resolver", resolver)
    documented = {key.partition(".")[0].removesuffix("[]") for key in CHECK_KEYS}
    assert set(document) == documented
    for name in ("findings", "records"):
        prefix = f"{name}[]."
        keys = {key.removeprefix(prefix) for key in CHECK_KEYS if key.startswith(prefix)}
        assert document[name]
        assert all(set(each) == keys for each in document[name])


def test_check_tells_what_is_wrong_and_what_to_do(
    config: str, resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["dns", "check", "bad.example", "--config", config, "--resolver", resolver]
    assert main(arguments) == 1
    story = capsys.readouterr().out
    assert "error: bad.example (mx-host-missing)\n" in story
    assert "error: bad.example (spf-allows-all)\n" in story
    assert "warning: _25._tcp.mx.bad.example (tlsa-missing)\n" in story
    assert '  do         add _dmarc.bad.example. 3600 IN TXT "v=DMARC1; p=none; ' in story
    assert (
        "  differs    bad.example. MX 10 mx1.example.org.\n  there is   10 mx.bad.example.\n"
        in story
    )


def test_check_works_without_a_configuration(
    resolver: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("letterlock.base.config.load.SYSTEM_CONFIG", tmp_path / "none.toml")
    code, document = ask(capsys, "check", "bad.example", "--resolver", resolver)
    assert (code, document["configured"], document["records"]) == (1, False, [])
    assert [f"{each['severity']} {each['code']}" for each in document["findings"]] == [
        "error spf-allows-all",
        "warning dmarc-missing",
        "warning tlsa-missing",
        "note mta-sts-unused",
        "note tlsrpt-missing",
    ]
    assert document["notes"][0].startswith("bad.example is not in `domains`")


def test_nobody_answers_is_undecidable(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(config)
    file.write_text(file.read_text() + '[dns]\ntimeout = "1s"\nattempts = 1\n')
    with zones({"com": "@ NS ns.com."}) as address:
        pass  # and nobody is there any more
    code, document = ask(capsys, "check", "example.org", "--config", config, "--resolver", address)
    assert (code, document["verdict"]) == (3, "undecidable")
    assert document["undecided"]


def test_wrong_resolver_is_a_usage_error(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dns", "check", "a.example", "--config", config, "--resolver", "x"]) == 2
    assert "--resolver" in capsys.readouterr().err


NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_certificates_that_only_root_may_read_are_read(tmp_path: Path, resolver: str) -> None:
    """As certbot leaves them; the rest is done as the owner of the data."""
    files = NodeFiles(tmp_path / "node", hostname="mx1.example.org")
    files.add_certificate(leaf())
    files.data.mkdir()
    os.chown(files.data, NOBODY, NOBODY)
    for pem in files.folder.glob("*.pem"):
        pem.chmod(0o600)
    files.write()
    answer = files.command("dns", "records", "example.org")
    assert (answer.error, answer.code) == ("", 0)
    assert f"IN TLSA 3 1 1 {KEY}\n" in answer.output
    # Pytest's folders are closed to others: what the node keeps is not seen, and that is told.
    note = "; what the node keeps (accounts, roll-overs, policies served) cannot be read"
    assert note in answer.output
    answer = files.command("dns", "check", "example.org", "--resolver", resolver)
    assert (answer.error, answer.code) == ("", 1)
