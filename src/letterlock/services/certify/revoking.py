"""Revoking a certificate of ours, with the account or with its own key.

RFC 8555 §7.6. With its own key it works for an authority that is no longer in the settings, as long
as the key is kept.
"""

from dataclasses import replace

from cryptography import x509

from letterlock.network.acme_client import AcmeFailed
from letterlock.protocols.acme.jws import AccountKey
from letterlock.protocols.acme.requests import RevocationReason
from letterlock.services.certify.authority import revoke
from letterlock.services.certify.keys import load_key
from letterlock.services.certify.tending import LEASE
from letterlock.services.certify.tools import Tools
from letterlock.storage.certificates import CertificateId
from letterlock.storage.issued import IssuedCertificate


async def revoke_certificate(
    tools: Tools, certificate: IssuedCertificate, reason: RevocationReason | None
) -> AcmeFailed | None:
    """Revoke, and keep that it is; None: it is revoked now, or was before.

    One that is in use is renewed soon afterwards. Raises StoreUnavailable.
    """
    leaf = x509.load_der_x509_certificate(certificate.leaf)
    failed = await _revoke_by_account(tools, certificate.directory, leaf, reason)
    if failed is not None:
        key = await _find_key(tools, certificate, leaf)
        if key is None:
            return failed
        client = tools.accounts.client(certificate.directory)
        if (failed := await revoke(client, leaf, reason, key)) is not None:
            return failed
    now = tools.clock.now()
    await tools.issued.note_revoked(certificate.fingerprint, now)
    await note_revoked(tools, certificate.id, certificate.serial)
    return None


async def note_revoked(tools: Tools, which: CertificateId, serial: str) -> bool:
    """Have a certificate renewed that is revoked; False: it is not in use, or is being renewed.

    Raises StoreUnavailable.
    """
    now = tools.clock.now()
    lease = await tools.store.claim(which, now, now + LEASE)
    if lease is None:
        return False  # whoever is at it renews it, or will look again
    state = lease.state
    is_in_use = state.facts is not None and state.facts.serial == serial
    if is_in_use and state.revoked is None:
        state = replace(state, revoked=now)
    return await tools.store.settle(lease, state) and is_in_use


async def _revoke_by_account(
    tools: Tools, directory: str, leaf: x509.Certificate, reason: RevocationReason | None
) -> AcmeFailed | None:
    if directory not in tools.directories:
        return AcmeFailed(f"{directory} is not among certificates.authorities")
    authority = await tools.accounts.open(directory)
    if isinstance(authority, AcmeFailed):
        return authority
    return await authority.revoke(leaf, reason)


async def _find_key(
    tools: Tools, certificate: IssuedCertificate, leaf: x509.Certificate
) -> AccountKey | None:
    """Give the certificate's own key, if it is the one in use."""
    pair = await tools.store.load_pair(certificate.id)
    if pair is None:
        return None
    key = load_key(pair.key)
    return AccountKey(key) if key.public_key() == leaf.public_key() else None
