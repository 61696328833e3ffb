"""Certificates as drafts: of servers, of a root, of an authority below it.

RFC 5280 §4 and the form of the Baseline Requirements 7.1.2 (subscribers: 7.1.2.7, roots: 7.1.2.1,
authorities below: 7.1.2.6). Keys, names and requests have been judged before; serial numbers and
times are arguments. No certificate transparency: those logs take public authorities only.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from letterlock.protocols.pki.issuance.issuers import Issuer, Places, find_shard
from letterlock.protocols.pki.issuance.profiles import (
    NameRules,
    Profile,
    find_name_faults,
    is_countable,
    make_name_constraints,
)
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    AuthorityPrivateKey,
    Draft,
    draft_certificate,
)
from letterlock.protocols.pki.issuance.subject_keys import SubjectKey
from letterlock.protocols.pki.names import CertificateNames

ANY_POLICY = x509.ObjectIdentifier("2.5.29.32.0")
MAX_ROOT_LIFETIME = timedelta(days=9132)
"""Baseline Requirements 7.1.2.1.1: 25 years."""
MAX_AUTHORITY_LIFETIME = timedelta(days=3650)

_MAX_COMMON_NAME = 64  # RFC 5280 §A.1, ub-common-name
_SECOND = timedelta(seconds=1)
_AUTHORITY_BACKDATED = timedelta(hours=24)
"""More than any profile needs by default: the first certificate is made a minute later."""


@dataclass(frozen=True, slots=True)
class ServerSubject:
    """Whom a server's certificate is for. `names` in the form of an order, `key` a judged one."""

    names: CertificateNames
    key: SubjectKey


@dataclass(frozen=True, slots=True)
class AuthorityName:
    """What an authority is called; None leaves a part out."""

    common_name: str
    organization: str | None = None
    country: str | None = None

    def to_x509(self) -> x509.Name:
        """Give the distinguished name. Raises ValueError for parts that are too long."""
        parts = (
            (NameOID.COUNTRY_NAME, self.country),
            (NameOID.ORGANIZATION_NAME, self.organization),
            (NameOID.COMMON_NAME, self.common_name),
        )
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text is not None])


@dataclass(frozen=True, slots=True)
class NewAuthority:
    """An authority to be. `now` is when it is made; its certificate is valid from a day before."""

    name: AuthorityName
    key: AuthorityKey
    serial: int
    now: datetime
    lifetime: timedelta

    @property
    def not_before(self) -> datetime:
        return _whole(self.now) - _AUTHORITY_BACKDATED

    @property
    def not_after(self) -> datetime:
        """The last second of its validity, which counts (RFC 5280 §4.1.2.5)."""
        return self.not_before + self.lifetime - _SECOND


def draft_server_certificate(
    issuer: Issuer, profile: Profile, subject: ServerSubject, serial: int, now: datetime
) -> Draft:
    """Make the draft of a server's certificate.

    `serial` is from `make_serial`. Raises ValueError for names that the profile does not allow,
    and when the issuer's certificate ends before this one would: no certificate is shortened.
    """
    names = subject.names
    if not is_countable(names, profile) or find_name_faults(names, profile):
        raise ValueError(f"profile {profile.name} is not for these names")
    if (shard := find_shard(serial)) is None:
        raise ValueError("a serial number without a shard")
    first = max(_whole(now) - profile.backdated, issuer.certificate.not_valid_before_utc)
    last = first + profile.lifetime - _SECOND
    if last > issuer.certificate.not_valid_after_utc:
        raise ValueError(f"the issuer's certificate ends before {last:%Y-%m-%dT%H:%M:%SZ}")
    common_name = _find_common_name(names) if profile.has_common_name else None
    name = AuthorityName(common_name).to_x509() if common_name else x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject)
        .public_key(subject.key)
        .serial_number(serial)
        .not_valid_before(first)
        .not_valid_after(last)
        # RFC 5280 §4.2.1.6: critical exactly when the subject is empty.
        .add_extension(_alternative_names(names), critical=common_name is None)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(_tls_uses(has_client_auth=profile.has_client_auth), critical=False)
        .add_extension(_policies(profile.policy), critical=False)
    )
    return draft_certificate(_add_places(builder, issuer, shard), issuer.stand_in)


def draft_root(root: NewAuthority, stand_in: AuthorityPrivateKey) -> Draft:
    """Make the draft of a root: its own key is to sign it.

    Raises ValueError for a lifetime of more than 25 years.
    """
    if root.lifetime > MAX_ROOT_LIFETIME:
        raise ValueError("a root is valid for 25 years at most")
    name = root.name.to_x509()
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key)
    builder = _authority(root, path_length=None).issuer_name(name)
    return draft_certificate(builder.add_extension(own, critical=False), stand_in)


def draft_intermediate(
    issuer: Issuer, below: NewAuthority, rules: NameRules, *, has_client_auth: bool = False
) -> Draft:
    """Make the draft of an authority below another, which issues servers' certificates only.

    Its names are those that `rules` permit: a private network's authority is worth nothing outside.
    Raises ValueError when the issuer's certificate ends before it, and as `draft_root`.
    """
    if below.lifetime > MAX_AUTHORITY_LIFETIME:
        raise ValueError("an authority below a root is valid for ten years at most")
    if below.not_after > issuer.certificate.not_valid_after_utc:
        raise ValueError(f"the issuer's certificate ends before {below.not_after:%Y-%m-%d}")
    if (shard := find_shard(below.serial)) is None:
        raise ValueError("a serial number without a shard")
    builder = (
        _authority(below, path_length=0)
        .issuer_name(issuer.certificate.subject)
        .add_extension(_tls_uses(has_client_auth=has_client_auth), critical=False)
        .add_extension(_policies(ANY_POLICY), critical=False)
    )
    if (constraints := make_name_constraints(rules)) is not None:
        builder = builder.add_extension(constraints, critical=True)
    return draft_certificate(_add_places(builder, issuer, shard), issuer.stand_in)


def _authority(new: NewAuthority, path_length: int | None) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(new.name.to_x509())
        .public_key(new.key)
        .serial_number(new.serial)
        .not_valid_before(new.not_before)
        .not_valid_after(new.not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(new.key), critical=False)
    )


def _add_places(
    builder: x509.CertificateBuilder, issuer: Issuer, shard: int
) -> x509.CertificateBuilder:
    """Say which key signed, and where its certificate and the CRL of this one are."""
    builder = builder.add_extension(issuer.key_identifier, critical=False)
    for each in _make_places(issuer.places, shard):
        builder = builder.add_extension(each, critical=False)
    return builder


# What most certificates have alike is made once: to make it takes longer than to encode it.
@lru_cache(maxsize=256)
def _make_places(places: Places, shard: int) -> tuple[x509.ExtensionType, ...]:
    crl = x509.UniformResourceIdentifier(places.crl_url(shard))
    point = x509.DistributionPoint([crl], relative_name=None, reasons=None, crl_issuer=None)
    points = x509.CRLDistributionPoints([point])
    if places.issuer is None:
        return (points,)
    at = x509.UniformResourceIdentifier(places.issuer)
    access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, at)
    return points, x509.AuthorityInformationAccess([access])


def _alternative_names(names: CertificateNames) -> x509.SubjectAlternativeName:
    domains: list[x509.GeneralName] = [x509.DNSName(name) for name in names.dns]
    return x509.SubjectAlternativeName([*domains, *(x509.IPAddress(ip) for ip in names.ips)])


def _find_common_name(names: CertificateNames) -> str | None:
    return next((name for name in names.texts if len(name) <= _MAX_COMMON_NAME), None)


@lru_cache(maxsize=16)
def _usage(
    *,
    digital_signature: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        # RFC 9325 §4.2: no RSA key transport.
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@lru_cache(maxsize=16)
def _tls_uses(*, has_client_auth: bool) -> x509.ExtendedKeyUsage:
    client = [ExtendedKeyUsageOID.CLIENT_AUTH] if has_client_auth else []
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, *client])


@lru_cache(maxsize=16)
def _policies(policy: x509.ObjectIdentifier) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(policy, None)])


def _whole(moment: datetime) -> datetime:
    """Certificates count in whole seconds of UTC (RFC 5280 §4.1.2.5)."""
    return moment.astimezone(UTC).replace(microsecond=0)
