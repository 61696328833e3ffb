"""What would be issued for a name, as CAA is asked: by whom, for which account, by which method.

RFC 8659 §4.2, RFC 8657 §3, §4. The look after a validation and the one before the signature ask
the same: so one function makes it for both.
"""

from dataclasses import dataclass

from letterlock.protocols.acme.server.objects import Authorization, Challenge
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.states import ChallengeStatus
from letterlock.protocols.caa.decide import Issuance
from letterlock.protocols.caa.rechecks import CaaCheck, ProvedName, make_issuance


@dataclass(frozen=True, slots=True)
class Issuances:
    """`identities` are the names by which CAA records mean this authority."""

    identities: tuple[str, ...]
    places: Places

    def describe(self, authorization: Authorization, challenge: Challenge) -> Issuance | None:
        """Say what is issued where the name is proved by this challenge; None: an address."""
        accounts = self.places.list_accounts(authorization.account_id)
        return make_issuance(authorization.ordered, self.identities, accounts, challenge.type)

    def prove(self, authorization: Authorization, check: CaaCheck | None) -> ProvedName:
        """Give a name whose authorization is valid, with the look at CAA that is kept.

        Raises LookupError where no challenge of it is valid.
        """
        for challenge in authorization.challenges:
            if challenge.status is ChallengeStatus.VALID:
                issuance = self.describe(authorization, challenge)
                return ProvedName(authorization.ordered, issuance, check)
        raise LookupError(f"authorization {authorization.id} has no valid challenge")
