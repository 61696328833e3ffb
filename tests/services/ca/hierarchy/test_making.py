"""A root and authorities below it: linted before they are signed, and trusted by others' tools."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.domains import Domain
from letterlock.protocols.pki.issuance.certificates import AuthorityName
from letterlock.protocols.pki.issuance.issuers import find_shard
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.linting import EXCUSED, CertificateKind, Linter
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.protocols.pki.issuance.signing import KeySigner, make_key
from letterlock.services.ca.hierarchy.making import (
    LintError,
    find_authority_name,
    make_authority,
    make_root,
)
from letterlock.services.ca.publications import find_places
from tests.fakes import START
from tests.peers import environment, program
from tests.protocols.pki.issuance.authority import issue
from tests.services.ca.hierarchy.authorities import (
    FOLDER_URL,
    ISSUER_NAME,
    LINTER,
    PRIVATE_LINTER,
    ROOT_NAME,
    make_world,
)

WORLD = make_world()
CORP = NameRules(permitted_domains=(Domain("corp.example"),))


def test_a_roots_certificate_is_its_own() -> None:
    """Baseline Requirements 7.1.2.1"""
    root = WORLD.root.certificate
    root.verify_directly_issued_by(root)
    assert find_authority_name(root) == ROOT_NAME
    assert find_shard(root.serial_number) == 1


def test_an_authority_says_where_its_own_crl_and_its_issuer_are() -> None:
    """RFC 5280 §4.2.1.13, §4.2.2.1: in the root's folder."""
    places = find_places(WORLD.root.certificate, FOLDER_URL)
    extensions = WORLD.certificate.extensions
    points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name or ()] == [places.crl_url(1)]
    access = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [each.access_location.value for each in access] == [places.issuer]


def test_two_roots_certify_one_authority() -> None:
    """The same name, key and key identifier: what it issues has a chain to either."""
    one, two = WORLD.certificate, WORLD.cross
    assert one.subject == two.subject
    assert one.public_key() == two.public_key()
    identifiers = [
        each.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        for each in (one, two)
    ]
    assert identifiers[0] == identifiers[1]
    two.verify_directly_issued_by(WORLD.other_root.certificate)


class Complaining(Linter):
    """Finds something wrong with everything."""

    def __init__(self) -> None:
        super().__init__(EXCUSED)
        self.kinds: list[CertificateKind] = []

    def lint(self, der: bytes, kind: CertificateKind) -> LintRecord:
        self.kinds.append(kind)
        x509.load_der_x509_certificate(der)
        return LintRecord(("error x.y at z",), (), "linter 1")


def test_what_the_linter_objects_to_is_not_signed() -> None:
    """Baseline Requirements 4.3.1.2, for authorities' certificates, too."""

    class NeverAsked(KeySigner):
        def sign(self, octets: bytes) -> bytes:
            raise AssertionError(f"it was signed: {octets!r}")

    linter, signer = Complaining(), NeverAsked(make_key("ec-p256"))
    with pytest.raises(LintError, match=r"the root was not signed: linter 1: error x\.y at z"):
        make_root(ROOT_NAME, signer, linter, START)
    root = replace(WORLD.root, signer=signer)
    for rules in (NameRules(), CORP):
        with pytest.raises(LintError, match="authority was not signed"):
            make_authority(root, replace(WORLD.below, rules=rules), linter, START)
    assert linter.kinds == [
        CertificateKind.ROOT,
        CertificateKind.AUTHORITY,
        CertificateKind.CONSTRAINED_AUTHORITY,
    ]


def test_a_public_authority_needs_a_country_and_an_organization_and_a_private_one_not() -> None:
    name, signer = AuthorityName("Corp Root"), KeySigner(make_key("ec-p256"))
    made = make_root(name, signer, PRIVATE_LINTER, START)
    assert find_authority_name(made.certificate) == name
    with pytest.raises(LintError, match="organization"):
        make_root(name, signer, LINTER, START)


def test_nothing_outlives_its_issuer() -> None:
    late = START + timedelta(days=16 * 365)
    with pytest.raises(ValueError, match="ends before"):
        make_authority(WORLD.root, WORLD.below, LINTER, late)


def test_a_name_that_was_made_elsewhere_is_not_taken_for_ours() -> None:
    odd = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Old Root")] * 2)
    key = make_key("ec-p256")
    certificate = x509.CertificateBuilder(
        odd, odd, key.public_key(), 1, START, START + timedelta(days=1)
    ).sign(key, hashes.SHA256())
    with pytest.raises(ValueError, match="not made here"):
        find_authority_name(certificate)


@pytest.mark.peer("openssl")
def test_openssl_trusts_both_chains_by_their_roots_alone(tmp_path: Path) -> None:
    """RFC 5280 §6"""
    leaf = issue(["mx.example.com"], issuer=WORLD.authority.issuer)
    files = {
        "root": WORLD.root.certificate,
        "other": WORLD.other_root.certificate,
        "one": WORLD.certificate,
        "two": WORLD.cross,
        "leaf": leaf,
    }
    for name, each in files.items():
        (tmp_path / f"{name}.pem").write_bytes(each.public_bytes(Encoding.PEM))
    for root, chain, is_good in (
        ("root", "one", True),
        ("other", "two", True),
        ("root", "two", False),
        ("other", "one", False),
    ):
        done = subprocess.run(
            [
                *(program("openssl"), "verify", "-x509_strict", "-check_ss_sig"),
                *("-purpose", "sslserver", "-no-CApath", "-no-CAstore"),
                *("-attime", str(int(START.timestamp()) + 3600), "-CAfile", f"{root}.pem"),
                *("-untrusted", f"{chain}.pem", "leaf.pem"),
            ],
            cwd=tmp_path,
            env=environment("openssl"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == is_good, done.stderr


def test_the_name_of_an_authority_is_told() -> None:
    assert find_authority_name(WORLD.certificate) == ISSUER_NAME
