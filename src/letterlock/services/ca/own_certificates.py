"""The certificate with which the authority's own server shows itself, without an order by ACME.

Baseline Requirements 3.2.2.8 (no look at CAA for names whose DNS is the authority's own business).
It is issued as all others are: a serial number is taken first, the draft is linted, what is signed
is held beside it, and it is kept, logged, listed and can be revoked. Its account is OWN_ACCOUNT,
which no client has; the operator's setting `ca.url` stands in the place of a proof.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.base.errors import LocalError
from letterlock.protocols.acme.identifiers import DNS, IP, Identifier
from letterlock.protocols.acme.server.objects import Certificate, Order
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.decisions import NameBasis, SigningLogged
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.certificates import ServerSubject
from letterlock.protocols.pki.issuance.profiles import Profile
from letterlock.protocols.pki.issuance.signing import KeyUnavailable, SigningError
from letterlock.protocols.pki.issuance.subject_keys import digest_spki
from letterlock.protocols.pki.names import parse_ip
from letterlock.services.ca.issuing.drafting import Drafted, DraftError, check_signed
from letterlock.services.ca.issuing.judging import Judged
from letterlock.services.ca.issuing.signing import sign
from letterlock.services.ca.issuing.tools import IssuingTools
from letterlock.services.ca.requests.orders import find_certificate_names
from letterlock.storage.ca import changes, kept

OWN_ACCOUNT = "authority-itself"
OWN_BASIS = "ca.url"
"""What stands in the log in the place of an authorization."""
_ID_OCTETS = 16
_MOMENT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class OwnPair:
    """A chain, the leaf first, and its key, in PEM."""

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime


async def issue_own(tools: IssuingTools, host: str, profile: Profile) -> OwnPair:
    """Issue a certificate for the host of our own URL, with a new key.

    Raises LocalError, also while issuance is halted, and StoreUnavailable.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    drafted = _draft(tools, host, profile, key.public_key())
    logged = tools.log_all((drafted.log_lint(), drafted.log_serial()))
    if drafted.lint.faults:
        await tools.store.commit((), logged[:1])
        raise LocalError(f"our own certificate for {host}: {'; '.join(drafted.lint.faults)}")
    if not await tools.store.commit((changes.AddSerial(drafted.serial),), logged):
        raise LocalError(f"our own certificate for {host}: its serial number was taken before")
    if (halted := await tools.find_halt()) is not None:
        raise LocalError(f"our own certificate for {host}: {halted.problem.detail}")
    try:
        der = await sign(drafted.draft, tools.authority.issuer.signer)
        check_signed(der, drafted, tools.authority.issuer, tools.clock.now())
    except (KeyUnavailable, SigningError, DraftError) as error:
        raise LocalError(f"our own certificate for {host}: {error}") from error
    await _keep(tools, drafted, host, der)
    leaf = x509.load_der_x509_certificate(der)
    return OwnPair(
        leaf.public_bytes(Encoding.PEM) + tools.authority.chains[0],
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )


def _draft(
    tools: IssuingTools, host: str, profile: Profile, key: ec.EllipticCurvePublicKey
) -> Drafted:
    identifier = _identify(host)
    now = tools.clock.now()
    order = Order(
        id=secrets.token_urlsafe(_ID_OCTETS),
        account_id=OWN_ACCOUNT,
        identifiers=(identifier,),
        authorization_ids=(),
        status=OrderStatus.PROCESSING,
        expires=now + _MOMENT,
        profile=profile.name,
    )
    subject = ServerSubject(find_certificate_names((identifier,)), key)
    try:
        return tools.drafter.draft(order, Judged(subject, profile, make_public_key(key)), now)
    except DraftError as error:
        raise LocalError(f"our own certificate for {host}: {error}") from error


async def _keep(tools: IssuingTools, drafted: Drafted, host: str, der: bytes) -> None:
    certificate = Certificate(
        id=secrets.token_urlsafe(_ID_OCTETS),
        name=drafted.serial.name,
        account_id=OWN_ACCOUNT,
        order_id=drafted.serial.order_id,
        identifiers=(_identify(host),),
        not_before=drafted.not_before,
        not_after=drafted.serial.not_after,
        key=drafted.judged.key,
        chain_count=len(tools.authority.chains),
    )
    issued = kept.Issued(
        certificate=certificate,
        der=der,
        chains=tools.authority.chains,
        spki_sha256=digest_spki(drafted.judged.subject.key),
        profile=drafted.serial.profile,
        issued=tools.clock.now(),
        lint=drafted.lint,
        names=(),
    )
    logged = SigningLogged(
        order=certificate.order_id,
        account=OWN_ACCOUNT,
        serial=format_serial(certificate.name.serial),
        issuer=certificate.name.key_identifier.hex(),
        certificate=sha256(der).hexdigest(),
        draft=drafted.digest,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        names=(NameBasis(name=host, authorization=OWN_BASIS),),
    )
    if not await tools.store.commit((changes.AddCertificate(issued),), tools.log_all((logged,))):
        raise LocalError(f"our own certificate for {host} could not be kept, and is thrown away")


def _identify(host: str) -> Identifier:
    ip = parse_ip(host)
    return Identifier(DNS, host) if ip is None else Identifier(IP, str(ip))
