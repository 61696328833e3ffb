"""OpenSSL's own commands trust what we issue, and refuse what we revoked; we read its requests."""

import re
import subprocess
from hashlib import sha1
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.base.domains import Domain
from letterlock.protocols.pki.issuance.csr import find_request_faults, parse_request
from letterlock.protocols.pki.issuance.issuers import Issuer, find_shard
from letterlock.protocols.pki.issuance.profiles import NameRules, Profile
from letterlock.protocols.pki.issuance.revocation_lists import (
    CrlPeriod,
    Reason,
    Revoked,
    draft_shard,
)
from letterlock.protocols.pki.issuance.signing import sign_draft
from letterlock.protocols.pki.issuance.subject_keys import digest_debian
from tests.fakes import START
from tests.peers import environment, program
from tests.protocols.pki.issuance.authority import (
    ISSUER,
    ROOT,
    YEAR,
    issue,
    make_intermediate,
    make_root,
    names_of,
    rsa_key,
)

ANY = ("-purpose", "any")

pytestmark = pytest.mark.peer("openssl")


def openssl(*arguments: str | Path, accepted: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        [program("openssl"), *arguments],
        env=environment("openssl"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in accepted, done.stderr
    return done.stdout + done.stderr


def write(path: Path, *certificates: x509.Certificate | x509.CertificateRevocationList) -> Path:
    path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
    return path


def make_crl(issuer: Issuer, shard: int, *revoked: Revoked) -> x509.CertificateRevocationList:
    period = CrlPeriod(1, START, START + YEAR / 100)
    draft = draft_shard(
        issuer, shard, revoked, period, is_of_authorities=issuer.certificate == ROOT.certificate
    )
    return x509.load_der_x509_crl(sign_draft(draft, issuer.signer))


def verify(
    folder: Path, leaf: x509.Certificate, issuer: Issuer, *options: str | Path, root: Issuer = ROOT
) -> set[int]:
    """Give the numbers of OpenSSL's objections, in its strictest way."""
    said = openssl(
        *("verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver"),
        *("-no-CApath", "-no-CAstore", "-attime", str(int(START.timestamp()))),
        *("-CAfile", write(folder / "root.pem", root.certificate)),
        *("-untrusted", write(folder / "issuer.pem", issuer.certificate), *options),
        write(folder / "leaf.pem", leaf),
        accepted=(0, 2),
    )
    return {int(number) for number in re.findall(r"error (\d+) at", said)}


@pytest.mark.parametrize(
    ("names", "profile"),
    [
        (["mx.example.com", "*.example.org", "192.0.2.1", "2001:db8::1"], Profile("x")),
        (["mx.example.com"], Profile("x", has_common_name=True, has_client_auth=True)),
        ([f"{n}.example.com" for n in range(100)], Profile("x")),
    ],
)
def test_openssl_trusts_what_we_issue(tmp_path: Path, names: list[str], profile: Profile) -> None:
    """RFC 5280 §6, with each rule that openssl-verify(1) knows."""
    leaf = issue(names, profile)
    assert verify(tmp_path, leaf, ISSUER) == set()
    text = openssl("x509", "-in", tmp_path / "leaf.pem", "-noout", "-ext", "subjectAltName")
    assert text.count("DNS:") + text.count("IP Address:") == len(names)
    for name in names:
        kind = "-checkip" if ":" in name or name[-1].isdigit() else "-checkhost"
        said = openssl("x509", "-in", tmp_path / "leaf.pem", "-noout", kind, name.replace("*", "a"))
        assert "does match" in said
        if len(names) > 10:
            break


def test_openssl_trusts_authorities_with_rsa_keys(tmp_path: Path) -> None:
    root = make_root(rsa_key())
    issuer = make_intermediate(root)
    assert verify(tmp_path, issue(["mx.example.com"], issuer=issuer), issuer, root=root) == set()


def test_openssl_obeys_the_name_constraints(tmp_path: Path) -> None:
    """Rule 213. 47: not in a permitted subtree; 48: in an excluded one."""
    rules = NameRules(permitted_domains=(Domain("corp.example"),))
    issuer = make_intermediate(ROOT, rules)
    for name, wanted in (
        ("mx.corp.example", set()),
        ("mx.example.org", {47}),
        ("192.0.2.1", {48}),
        ("2001:db8::1", {48}),
    ):
        assert verify(tmp_path, issue([name], issuer=issuer), issuer) == wanted


def test_openssl_finds_the_revoked_ones_in_their_shards(tmp_path: Path) -> None:
    """Rule 217: RFC 5280 §6.3.3: CRL and certificate name the same place."""
    leaf = issue(["mx.example.com"])
    shard = find_shard(leaf.serial_number)
    assert shard is not None
    options = ("-crl_check", "-CRLfile")
    revoked = Revoked(leaf.serial_number, START, START, Reason.KEY_COMPROMISE, START)
    for crl, wanted in (
        (make_crl(ISSUER, shard), set()),
        (make_crl(ISSUER, shard, revoked), {23}),
        # 44: the CRL of another shard does not count for it.
        (make_crl(ISSUER, shard % 16 + 1), {44}),
    ):
        path = write(tmp_path / "leaf.crl", crl)
        assert verify(tmp_path, leaf, ISSUER, *options, path) == wanted
        issuer = tmp_path / "issuer.pem"
        assert "verify OK" in openssl("crl", "-in", path, "-noout", "-CAfile", issuer)
    of_authorities = write(tmp_path / "root.crl", make_crl(ROOT, 1))
    assert verify(tmp_path, ISSUER.certificate, ROOT, *options, of_authorities, *ANY) == set()
    ended = Revoked(ISSUER.certificate.serial_number, START, START, Reason.SUPERSEDED)
    of_authorities = write(tmp_path / "root.crl", make_crl(ROOT, 1, ended))
    assert verify(tmp_path, ISSUER.certificate, ROOT, *options, of_authorities, *ANY) == {23}
    text = openssl(
        "crl", "-in", write(tmp_path / "x.crl", make_crl(ISSUER, shard, revoked)), "-noout", "-text"
    )
    assert "Key Compromise" in text
    assert "Invalidity Date" in text
    assert "Issuing Distribution Point: critical" in text


@pytest.mark.parametrize("kind", [["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]])
def test_requests_of_openssl_are_read(tmp_path: Path, kind: list[str]) -> None:
    """With a subject that its template fills in, and the extensions of its `v3_req`."""
    openssl(
        *("req", "-new", "-newkey", *kind, "-nodes", "-outform", "DER", "-subj"),
        *("/C=AU/ST=Some-State/O=Internet Widgits/CN=mx.example.com", "-addext"),
        *("subjectAltName=DNS:mx.example.com,DNS:*.example.org,IP:192.0.2.1", "-addext"),
        *("basicConstraints=CA:FALSE", "-addext"),
        *("keyUsage=nonRepudiation,digitalSignature,keyEncipherment", "-keyout"),
        tmp_path / "key.pem",
        "-out",
        tmp_path / "csr.der",
    )
    request = parse_request((tmp_path / "csr.der").read_bytes())
    order = names_of("mx.example.com", "*.example.org", "192.0.2.1")
    assert find_request_faults(request, order) == ()


def test_debians_digest_is_that_of_its_tool(tmp_path: Path) -> None:
    """openssl-vulnkey(1) of Debian: of the line that `openssl rsa -modulus` prints."""
    key = rsa_key().public_key()
    path = tmp_path / "key.pem"
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    line = openssl("rsa", "-pubin", "-in", path, "-modulus", "-noout")
    digest = sha1(line.encode()).hexdigest()
    assert digest_debian(key).hex() == digest[20:]
