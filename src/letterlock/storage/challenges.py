"""Proofs that an authority may come and look at, as every node sees them.

RFC 8555 §8.3 (http-01), RFC 8737 §3 (tls-alpn-01). They are in the node's database: any node
answers for any other, wherever the authority's connection ends. None of it is secret.
`storage.sqlite.challenges` and `storage.postgres.challenges`; `tests/storage` runs one suite on
both. dns-01 needs nothing of it: its proofs are in the DNS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from letterlock.protocols.acme.identifiers import (
    ChallengeType,
    Identifier,
    make_server_name,
    parse_identifier,
)
from letterlock.storage.records import from_micros, to_micros

CHALLENGE_COLUMNS = ("kind", "token", "server_name", "identifier", "key_authorization", "until")
"""The columns of a PendingChallenge, as `make_challenge_row` and `read_challenge_row` have them."""


@dataclass(frozen=True, slots=True)
class PendingChallenge:
    """One proof that is up. From `until` on it counts as gone, should nobody have removed it."""

    kind: ChallengeType
    token: str
    identifier: Identifier
    key_authorization: str
    until: datetime


class ChallengeStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def put(self, challenge: PendingChallenge, now: datetime) -> None:
        """Put up a proof, in place of one of the same kind and token.

        What is past its end is removed with it, so nothing else has to sweep.
        """

    async def find_by_token(
        self, kind: ChallengeType, token: str, now: datetime
    ) -> PendingChallenge | None:
        """Give the proof of a token, exactly as written; None: there is none that still holds."""

    async def find_by_server_name(
        self, kind: ChallengeType, server_name: str, now: datetime
    ) -> PendingChallenge | None:
        """Give the proof for `identifiers.make_server_name` of an identifier, in lower case.

        Of several for one name that which holds longest, for it was put up last.
        """

    async def remove(self, kind: ChallengeType, token: str) -> None:
        """Take a proof away; nothing happens when there is none."""


def make_challenge_row(challenge: PendingChallenge) -> tuple[str | int, ...]:
    """Give the values of CHALLENGE_COLUMNS. The first two are the key."""
    return (
        challenge.kind,
        challenge.token,
        make_server_name(challenge.identifier),
        challenge.identifier.value,
        challenge.key_authorization,
        to_micros(challenge.until),
    )


def read_challenge_row(row: Sequence[Any]) -> PendingChallenge:
    """Read the values of CHALLENGE_COLUMNS."""
    kind, token, _, identifier, key_authorization, until = row
    return PendingChallenge(
        kind, token, parse_identifier(identifier), key_authorization, from_micros(until)
    )
