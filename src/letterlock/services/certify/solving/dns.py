"""dns-01: a TXT record at every authoritative server, wherever an alias leads.

RFC 8555 §8.4 (name and value; several values at one name, as for a wildcard and its base). The name
may be an alias into a zone that is ours to change. How records are changed is `changing`.
"""

from collections import Counter

from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service
from letterlock.network.zone_records import ZoneRecord
from letterlock.protocols.acme.challenges import dns_name, dns_value
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.changing import RecordChanger
from letterlock.services.certify.solving.served import ServedRecords
from letterlock.services.discover.authorities import AuthorityFinder, NotFound

TTL_SECONDS = 60
"""Short: nobody needs the record for longer. Providers may make it more."""


class DnsSolver:
    """Puts proofs into DNS."""

    kind: ChallengeType = "dns-01"

    def __init__(
        self, changer: RecordChanger, finder: AuthorityFinder, served: ServedRecords, log: Log
    ) -> None:
        self._changer = changer
        self._finder = finder
        self._served = served
        self._log = log
        self._records: dict[Proof, ZoneRecord] = {}
        self._uses: Counter[ZoneRecord] = Counter()
        """Orders that are under way together may have one authorization, and so one record."""
        self._added: set[ZoneRecord] = set()

    async def present(self, proof: Proof) -> str | None:
        name = Domain(dns_name(proof.identifier))
        owner = await self._finder.find_owner(name, "TXT")
        if isinstance(owner, NotFound):
            return owner.reason
        record = ZoneRecord(owner, "TXT", dns_value(proof.key_authorization), TTL_SECONDS)
        # Before it is there: what is presented in part is taken away too.
        self._records[proof] = record
        self._uses[record] += 1
        failure = await self._changer.add(record)
        if failure is None:
            self._added.add(record)
            failure = await self._served.wait_until_served(owner, record.rdtype, record.value)
        if failure is not None and owner != name:
            return f"{failure} (its alias leads to {owner})"
        return failure

    async def cleanup(self, proof: Proof) -> None:
        record = self._records.get(proof)
        if record is None:
            return
        self._uses[record] -= 1
        if self._uses[record] > 0:
            return
        del self._uses[record], self._records[proof]
        failure = await self._changer.remove(record)
        was_added = record in self._added
        self._added.discard(record)
        if failure is not None and was_added:
            # It does no harm but to stay: a value proves one authorization, and that is over.
            text = f"warning: a record of dns-01 is left behind: {failure}"
            self._log.write(Service.CERTIFICATES, text)
