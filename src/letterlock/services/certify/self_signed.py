"""The certificate that stands in until there is a real one: signed by its own key.

Senders that encrypt without looking (RFC 7435 §3) take it. Those that verify the chain, by MTA-STS
for one, keep their mail until there is a real one: `describe_self_signed` says so.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.domains import Domain
from letterlock.protocols.pki.certificate import Unreadable, read_certificate
from letterlock.protocols.pki.throwaway_ca import self_signed
from letterlock.services.certify.keys import load_key
from letterlock.storage.certificate_files import CertificateFiles
from letterlock.storage.certificates import KeptPair

LIFETIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)


def ensure_self_signed(files: CertificateFiles, hostname: Domain, now: datetime) -> bool:
    """Have one for the host name in its place; gives whether it was made anew.

    One that is there stays over restarts, so that its key can be in a TLSA record meanwhile
    (DANE-EE, RFC 7671 §5.1). Blocks. Raises LocalError when it can't be written.
    """
    pair = files.load_self_signed()
    if pair is not None and _is_usable(pair, hostname, now):
        return False
    made = self_signed([hostname], now=now, days=LIFETIME.days)
    files.write_self_signed(KeptPair(made.chain_pem, made.key_pem))
    return True


def describe_self_signed(hostname: Domain) -> str:
    """Say on one line what it means that this certificate is shown."""
    return (
        f"the certificate of {hostname} is self-signed until there is a real one: senders that "
        "verify it will not deliver; `letterlock cert list` says what keeps it, "
        "`letterlock cert order` tries again"
    )


def _is_usable(pair: KeptPair, hostname: Domain, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(pair.chain)
        key = load_key(pair.key)
    except ValueError:
        return False
    facts = read_certificate(certificate.public_bytes(Encoding.DER))
    if isinstance(facts, Unreadable):
        return False
    is_valid = facts.not_before <= now < facts.not_after - RENEW_BEFORE
    return (
        is_valid and facts.names.dns == (hostname,) and key.public_key() == certificate.public_key()
    )
