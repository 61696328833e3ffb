"""`letterlock check` on what may go wrong tomorrow: CAA, CRLs, signatures; by DNS and HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from letterlock.cli.check_besides import tell_besides, tell_renewal
from letterlock.cli.root import main
from letterlock.protocols.pki.throwaway_ca import GOOD_CA, Issued, ThrowawayCa
from tests.interop.background import in_background, zones
from tests.misbehaving import Conduct, serving
from tests.network.certificates import NOW, authority
from tests.revocations import issue_with_crl, make_crl, make_point

ORGANIZATION = "Let's Encrypt"
HOSTS = ("mx.renewing.example", "mx.revoked.example")
CAA = {HOSTS[0]: '@ CAA 0 issue "pki.goog"', HOSTS[1]: '@ CAA 0 issue "letsencrypt.org"'}


def make_issuer() -> ThrowawayCa:
    name = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
        x509.NameAttribute(NameOID.COMMON_NAME, "R11"),
    ]
    shape = replace(GOOD_CA, subject=x509.Name(name))
    return authority().intermediate("R11", now=NOW, shape=shape)


@contextmanager
def serving_crl(crl: list[bytes]) -> Iterator[str]:
    """Serve the CRL that is in the list then; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(crl[0])))
            self.end_headers()
            self.wfile.write(crl[0])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://crl.renewing.example:{server.server_address[1]}/r11.crl"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Check both domains in one run."""
    folder = tmp_path_factory.mktemp("besides")
    issuer, crl = make_issuer(), [b""]
    with serving_crl(crl) as url:
        issued = [issue_with_crl(issuer, host, make_point(url), now=NOW) for host in HOSTS]
        serial = issued[1].certificate.serial_number
        crl[0] = make_crl(issuer, {serial: x509.ReasonFlags.key_compromise}, now=NOW)
        return _check(folder, issued)


def _check(folder: Path, issued: list[Issued]) -> dict[str, dict[str, Any]]:
    with in_background(serving(*(Conduct(each) for each in issued))) as servers:
        records = {
            host.partition(".")[2]: f"@ MX 10 mx\nmx A {server.ip}\ncrl A 127.0.0.1\n{CAA[host]}"
            for host, server in zip(HOSTS, servers, strict=True)
        }
        with zones({"com": "@ NS ns.com.", **records}, authentic_data=True) as resolver:
            (folder / "ca.pem").write_bytes(authority().pem)
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
            page = folder / "out.json"
            with page.open("w") as out, pytest.MonkeyPatch.context() as patch:
                patch.setattr("sys.stdout", out)
                domains = [host.partition(".")[2] for host in HOSTS]
                main(["check", "--config", str(path), "--json", "--pace", "0", *domains])
    found = json.loads(page.read_text())
    return {document["domain"]: document for document in found}


def find(document: dict[str, Any], id_: str) -> list[dict[str, Any]]:
    return [each for each in document["findings"] if each["id"] == id_]


def test_who_issued_the_certificate_may_not_renew_it(documents: dict[str, dict[str, Any]]) -> None:
    """RFC 8659 §3: and the line that would let it."""
    document = documents["renewing.example"]
    (right,) = document["caa"]
    assert (right["host"], right["organization"]) == (HOSTS[0], ORGANIZATION)
    assert (right["decision"], right["cause"]) == ("deny", "other-issuer")
    (finding,) = find(document, "caa-forbids-renewal")
    assert finding["fix"] == 'add renewing.example. CAA 0 issue "letsencrypt.org"'
    assert documents["revoked.example"]["caa"][0]["decision"] == "allow"


def test_the_certificate_that_is_revoked_is_named(documents: dict[str, dict[str, Any]]) -> None:
    """RFC 5280 §6.3; the CRL is at a private address, as are the hosts."""
    states = {domain: each["revocation"][0]["state"] for domain, each in documents.items()}
    assert states == {"renewing.example": "not revoked", "revoked.example": "revoked"}
    (finding,) = find(documents["revoked.example"], "certificate-revoked")
    assert finding["severity"] == "critical"
    assert find(documents["renewing.example"], "certificate-revoked") == []


def test_where_nothing_is_signed_nothing_ends(documents: dict[str, dict[str, Any]]) -> None:
    for document in documents.values():
        names = document["dnssec"]["names"]
        assert [(each["type"], each["status"], each["nearest"]) for each in names][:2] == [
            ("MX", "secure", None),
            ("A", "secure", None),
        ]
        assert document["dnssec"] == {
            "names": names,
            "nearest": None,
            "signatures": [],
            "zones": None,
            "records": None,
        }
        assert not [each for each in document["undecided"] if "signature" in each]


def test_people_are_told_also_when_all_is_well() -> None:
    hosts = [f"mx{number}.example.org" for number in range(4)]
    document = {
        "caa": [{"name": host, "decision": "allow"} for host in hosts],
        "revocation": [{"host": hosts[0], "state": "not revoked"}] * 2,
        "dnssec": {
            "nearest": {"ends": "2026-12-01T00:00:00Z", "type": "TLSA", "name": "_25._tcp.mx"}
        },
    }
    story = " ".join(" ".join(tell_besides(document)).split())
    assert "renewal mx0.example.org: CAA allows it;" in story
    assert "mx3.example.org" not in story
    assert "; and 1 more" in story
    assert story.count("not revoked") == 1
    assert story.endswith("signed until 2026-12-01T00:00:00Z, TLSA of _25._tcp.mx first")
    nothing = {"caa": [], "revocation": [], "dnssec": {"nearest": None}}
    assert list(tell_besides(nothing)) == []


def test_what_the_next_certificate_does_to_tlsa_records_is_told_in_a_line() -> None:
    fates = {"same-key": "kept", "new-key": "lost", "new-issuer": "open"}
    renewal = [{"case": case, "outcome": outcome} for case, outcome in fates.items()]
    line = "_25._tcp.mx.example.org. IN TLSA 3 1 1 00"
    host = {"tlsa": ["3 0 1 00"], "renewal": renewal, "tlsa_missing": [line]}
    assert " ".join(" ".join(tell_renewal(host)).split()) == (
        "if it renews: with the same key a record matches, with any other key NONE matches, "
        "by another intermediate one may match"
    )
    without = host | {"tlsa": [], "renewal": []}
    assert " ".join(" ".join(tell_renewal(without)).split()) == f"for DANE publish: {line}"
    # As a release before this one kept it, for `--resume`.
    assert list(tell_renewal({"tlsa": []})) == []


def test_names_that_are_not_signed_or_not_known_are_named() -> None:
    names = [
        {"name": name, "type": "A", "status": name}
        for name in ("secure", "insecure", "bogus", "undecided")
    ]
    document = {"caa": [], "revocation": [], "dnssec": {"nearest": None, "names": names}}
    assert [" ".join(line.split()) for line in tell_besides(document)] == [
        "not signed A of insecure",
        "dnssec A of bogus: bogus; A of undecided: undecided",
    ]
