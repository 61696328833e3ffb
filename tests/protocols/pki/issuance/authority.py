"""A root and an issuer below it, made as `ca init` would, for the tests of issuance."""

import functools
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.pki.issuance.certificates import (
    AuthorityName,
    NewAuthority,
    ServerSubject,
    draft_intermediate,
    draft_root,
    draft_server_certificate,
)
from letterlock.protocols.pki.issuance.issuers import (
    SERIAL_RANDOM_OCTETS,
    Issuer,
    Places,
    make_issuer,
    make_serial,
)
from letterlock.protocols.pki.issuance.profiles import NameRules, Profile
from letterlock.protocols.pki.issuance.signing import (
    AuthorityPrivateKey,
    Draft,
    KeySigner,
    make_stand_in,
    sign_draft,
)
from letterlock.protocols.pki.issuance.subject_keys import SubjectKey
from letterlock.protocols.pki.names import CertificateNames
from tests.fakes import START

SHARDS = 16
PLACES = Places("http://ca.example.net/crl/", "http://ca.example.net/issuer.der")
ROOT_PLACES = Places("http://ca.example.net/roots/", "http://ca.example.net/root.der")
ROOT_NAME = AuthorityName("Lab Root", "Lab", "DE")
YEAR = timedelta(days=365)
OPEN = NameRules()

# Keys and serial numbers that are the same in each run.
EC_KEY = ec.derive_private_key(7, ec.SECP256R1())
SUBJECT_KEY = EC_KEY.public_key()
_ROOT_KEY = ec.derive_private_key(8, ec.SECP384R1())
_ISSUER_KEY = ec.derive_private_key(9, ec.SECP256R1())


def serial(seed: int = 0, shards: int = SHARDS) -> int:
    return make_serial(Random(seed).randbytes(SERIAL_RANDOM_OCTETS), shards)


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def load(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def make_root(key: AuthorityPrivateKey = _ROOT_KEY) -> Issuer:
    signer = KeySigner(key)
    new = NewAuthority(ROOT_NAME, signer.public_key, serial(1, 1), START, 20 * YEAR)
    draft = draft_root(new, make_stand_in(signer.public_key))
    return make_issuer(load(sign_draft(draft, signer)), signer, ROOT_PLACES)


def new_intermediate(key: AuthorityPrivateKey = _ISSUER_KEY) -> NewAuthority:
    name = AuthorityName("Lab Issuer 1", "Lab", "DE")
    return NewAuthority(name, key.public_key(), serial(2, 1), START, 5 * YEAR)


def make_intermediate(
    above: Issuer, rules: NameRules = OPEN, key: AuthorityPrivateKey = _ISSUER_KEY
) -> Issuer:
    draft = draft_intermediate(above, new_intermediate(key), rules)
    return make_issuer(load(sign_draft(draft, above.signer)), KeySigner(key), PLACES)


ROOT = make_root()
ISSUER = make_intermediate(ROOT)


def names_of(*texts: str) -> CertificateNames:
    """Sort texts into names and addresses."""
    ips = [text for text in texts if ":" in text or text.replace(".", "").isdigit()]
    domains = tuple(text for text in texts if text not in ips)
    return CertificateNames(domains, tuple(ip_address(text) for text in ips))


def draft_for(
    names: CertificateNames | Sequence[str],
    profile: Profile | None = None,
    *,
    issuer: Issuer = ISSUER,
    key: SubjectKey = SUBJECT_KEY,
    seed: int = 3,
) -> Draft:
    if not isinstance(names, CertificateNames):
        names = names_of(*names)
    subject = ServerSubject(names, key)
    return draft_server_certificate(
        issuer, profile or Profile("default"), subject, serial(seed), START
    )


def issue(
    names: CertificateNames | Sequence[str],
    profile: Profile | None = None,
    *,
    issuer: Issuer = ISSUER,
    key: SubjectKey = SUBJECT_KEY,
    seed: int = 3,
) -> x509.Certificate:
    return load(
        sign_draft(draft_for(names, profile, issuer=issuer, key=key, seed=seed), issuer.signer)
    )
