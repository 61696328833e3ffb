"""What the database has against a key that is to be certified.

RFC 8555 §11.1 (no account's key); Baseline Requirements 6.1.1.3 (none that is compromised). What a
key itself says is judged in `protocols.pki.issuance.subject_keys`.
"""

from typing import Protocol

from letterlock.protocols.acme.server.finalizations import find_key_refusal
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.pki.issuance.subject_keys import SubjectKey, digest_spki
from letterlock.storage.ca.kept import KeyUse

_NO_THUMBPRINT = ""


class KeyUses(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def find_key_use(self, spki_sha256: bytes, thumbprint: str) -> KeyUse: ...


async def find_use_faults(
    store: KeyUses, key: SubjectKey, public: PublicKey | None
) -> tuple[str, ...]:
    """Say why the database refuses a key, each reason in one line. Raises StoreUnavailable.

    `public` is the key as ACME has it; None: it is of a kind that no account can have.
    """
    thumbprint = public.thumbprint if public is not None else _NO_THUMBPRINT
    use = await store.find_key_use(digest_spki(key), thumbprint)
    faults = ["the key is known to be compromised: make a new one"] if use.is_blocked else []
    if public is not None and (refusal := find_key_refusal(public, use.holder_id)) is not None:
        faults.append(refusal.problem.detail)
    return tuple(faults)
