"""`letterlock check --dnssec` over the DNSSEC lab: where each chain ends, and who can mend it."""

import json
from typing import Any

import pytest

from letterlock.cli.check_dnssec import list_chain_rows, tell_chains
from letterlock.cli.check_html import format_domain
from letterlock.cli.root import main
from tests.dnssec_lab.lab import DnssecLab

pytestmark = pytest.mark.peer("nsd", "unbound", "ldns")

DOMAINS = ("secure.example", "wrong-ds.example", "island.example")
NOBODY = 1
"""A port where nobody listens, whatever the hosts are."""


@pytest.fixture(scope="module")
def documents(
    dnssec_lab: DnssecLab, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Check the domains in one run, as a postmaster does, but for the port."""
    folder = tmp_path_factory.mktemp("dnssec")
    path, page = folder / "letterlock.toml", folder / "out.json"
    path.write_text(
        f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{folder / "data"}"
[deliver]
port = {NOBODY}
[dns]
resolver = "{dnssec_lab.resolver[0]}:{dnssec_lab.resolver[1]}"
trust_anchor = "{dnssec_lab.trust_anchor}"
signed_name = "secure.example"
bogus_name = "bogus.example"
[dns_changes]
port = {dnssec_lab.authority[1]}
"""
    )
    with page.open("w") as out, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        options = ("--json", "--dnssec", "--pace", "0", "--retries", "0")
        main(["check", "--config", str(path), *options, *DOMAINS])
    return {each["domain"]: each for each in json.loads(page.read_text())}


def find(document: dict[str, Any], start: str) -> list[dict[str, Any]]:
    return [each for each in document["findings"] if each["id"].startswith(start)]


def show(document: dict[str, Any]) -> str:
    return " ".join(" ".join(tell_chains(document)).split())


def test_a_chain_that_holds_is_told_from_the_root(documents: dict[str, dict[str, Any]]) -> None:
    document = documents["secure.example"]
    assert [(each["zone"], each["status"]) for each in document["dnssec"]["zones"]] == [
        (".", "secure"),
        ("example", "secure"),
        ("secure.example", "secure"),
    ]
    states = {(each["status"], each["resolver"]) for each in document["dnssec"]["records"]}
    assert states == {("secure", "secure")}
    assert not find(document, "dnssec-")
    story = show(document)
    assert story.startswith("chain the root: secure until 20")
    assert f"_{NOBODY}._tcp.mx2.secure.example: secure, there are none" in story


def test_where_it_breaks_there_is_a_finding_with_the_record(
    documents: dict[str, dict[str, Any]],
) -> None:
    """RFC 4035 §5.2: what the registrar has is of a key that the zone does not have"""
    document = documents["wrong-ds.example"]
    (finding,) = find(document, "dnssec-ds-without-key")
    assert (finding["severity"], finding["where"]) == ("critical", "wrong-ds.example")
    zone = document["dnssec"]["zones"][-1]
    (key,) = zone["keys"]
    assert finding["fix"] == (
        "at the registrar of wrong-ds.example: put in its place "
        f"wrong-ds.example. IN DS {key['ds']}"
    )
    assert (zone["cause"], zone["who"]) == ("ds-without-key", "registrar")
    (record, *_) = document["dnssec"]["records"]
    assert (record["status"], record["resolver"]) == ("bogus", "bogus")
    assert "no keys have a DS" in record["resolver_reason"]
    assert "zone wrong-ds.example: BOGUS (ds-without-key)" in show(document)


def test_a_zone_without_a_ds_record_is_told_which(documents: dict[str, dict[str, Any]]) -> None:
    document = documents["island.example"]
    (finding,) = find(document, "dnssec-no-ds")
    assert finding["severity"] == "notice"
    assert "publish island.example. IN DS " in finding["fix"]
    page = "".join(format_domain(document))
    assert "<h2>What DNSSEC vouches for</h2>" in page
    assert "<td>zone island.example</td><td>insecure (no-ds)</td>" in page


def test_what_was_kept_before_there_were_chains_is_told_without() -> None:
    """For `--resume`."""
    assert list_chain_rows({"dnssec": {"nearest": None}}) == []
    assert list_chain_rows({}) == []
    assert list_chain_rows({"dnssec": {"zones": None, "records": None}}) == []


def test_an_alias_and_another_word_of_the_resolver_are_told() -> None:
    record = {
        "name": "a.example",
        "type": "A",
        "status": "secure",
        "cause": None,
        "until": None,
        "alias": "b.example",
        "outcome": "alias",
        "resolver": None,
    }
    other = record | {"alias": None, "outcome": "records", "resolver": "bogus"}
    document = {"dnssec": {"zones": [], "records": [record, other]}}
    assert list_chain_rows(document) == [
        ("A of a.example", "secure, leads to b.example"),
        ("A of a.example", "secure; the resolver: bogus"),
    ]
