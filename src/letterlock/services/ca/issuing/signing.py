"""Signs a draft, whether the key is in memory or in a token that takes its time."""

import asyncio

from letterlock.protocols.pki.issuance.signing import (
    Draft,
    KeySigner,
    KeyUnavailable,
    Signer,
    sign_draft,
)

TOKEN_SECONDS = 30.0


async def sign(draft: Draft, signer: Signer, *, seconds: float = TOKEN_SECONDS) -> bytes:
    """Sign, and give the DER. Raises SigningError, and KeyUnavailable also for a token that hangs.

    A call that hangs is left to its thread: who calls after it is told the same.
    """
    if isinstance(signer, KeySigner):
        return sign_draft(draft, signer)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(sign_draft, draft, signer)
    except TimeoutError as error:
        raise KeyUnavailable(f"the token has not signed for {seconds:g} seconds") from error
