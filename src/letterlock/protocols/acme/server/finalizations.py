"""Finalizing an order: its certificate signing request, and who may ask for what.

RFC 8555 §7.4 (an order that is not ready; the order stays ready when the request is refused), §11.1
(an account's key is no certificate's). What a request may have in it is in `pki.issuance.csr`.
"""

from collections.abc import Sequence
from datetime import timedelta

from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.server.payloads import read_payload
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.acme.server.refusals import ErrorType, Refusal, refuse

MAX_CSR_OCTETS = 64 * 1024
RETRY_AFTER = timedelta(seconds=3)
"""How long a client waits before it looks again at what is processed (RFC 8555 §7.4)."""


def parse_finalization(payload: bytes) -> bytes | Refusal:
    """Give the request in DER, as it was sent."""
    found = read_payload(payload, "finalization")
    if isinstance(found, Refusal):
        return found
    try:
        csr = found.octets("csr", MAX_CSR_OCTETS)
    except ObjectError as error:
        return refuse(ErrorType.BAD_CSR, str(error))
    return csr or refuse(ErrorType.BAD_CSR, "csr is missing")


def refuse_csr(faults: Sequence[str]) -> Refusal:
    """Refuse a request for all that is wrong with it; `faults` is not empty."""
    return refuse(ErrorType.BAD_CSR, "; ".join(faults))


def find_key_refusal(key: PublicKey, holder_id: str | None) -> Refusal | None:
    """Refuse a certificate for the key of an account, anybody's (RFC 8555 §11.1)."""
    if holder_id is None:
        return None
    detail = f"the {key.algorithm} key of the request is an account's: make one for the certificate"
    return refuse(ErrorType.BAD_CSR, detail)
