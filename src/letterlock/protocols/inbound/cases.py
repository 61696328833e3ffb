"""The hosts that an inbound test is made of, each with one thing that is not as it should be.

RFC 7672 §2.2 (TLSA records that do not match), RFC 8461 §5 (a policy in force), RFC 3207 §4 (no
STARTTLS). A host says by its name or by its address which case it is: a client that names no host
(SNI) can be told only by where it connects to. So those share an address that need nothing but
other names, and one certificate; decision 12 has the whole of it.
"""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.base.domains import Domain

LONGEST_CASE = len("no-starttls")


class Case(StrEnum):
    """What is wrong with a host; its value is the label of its mail domain."""

    GOOD = "good"
    """Nothing. It has no TLSA records, so that who follows DANE may deliver by any other rule."""
    EXPIRED = "expired"
    """Its certificate has ended."""
    WRONG_NAME = "wrong-name"
    """Its certificate is trusted, and not for its name."""
    NO_STARTTLS = "no-starttls"
    """It does not offer STARTTLS."""
    BAD_TLSA = "bad-tlsa"
    """Its certificate is trusted and for its name; its TLSA record is of another key."""
    MTA_STS = "sts"
    """As WRONG_NAME, under an MTA-STS policy in mode enforce that lists it."""


class Place(StrEnum):
    """Where a client connects to: addresses that behave alike before anything is named."""

    SHARED = "shared"
    EXPIRED = "expired"
    NO_STARTTLS = "no-starttls"


CASES_BY_PLACE = {
    Place.SHARED: (Case.GOOD, Case.WRONG_NAME, Case.BAD_TLSA, Case.MTA_STS),
    Place.EXPIRED: (Case.EXPIRED,),
    Place.NO_STARTTLS: (Case.NO_STARTTLS,),
}
PLACE_BY_CASE = {case: place for place, cases in CASES_BY_PLACE.items() for case in cases}
CERTIFIED = (Case.GOOD, Case.BAD_TLSA)
"""The cases whose hosts the certificate has to name; it must name no other's."""


@dataclass(frozen=True, slots=True)
class HostNames:
    """The names below the domain of the test."""

    base: Domain

    def mail_domain(self, case: Case) -> Domain:
        """Give what stands right of the `@`."""
        return Domain(f"{case.value}.{self.base}")

    def host(self, case: Case) -> Domain:
        """Give the MX host of a case."""
        return Domain(f"mx.{case.value}.{self.base}")

    @property
    def policy_host(self) -> Domain:
        """Give where the MTA-STS policy is fetched."""
        return Domain(f"mta-sts.{self.mail_domain(Case.MTA_STS)}")

    @property
    def certified(self) -> tuple[Domain, ...]:
        """Give the names that the certificate has to have."""
        return (*(self.host(case) for case in CERTIFIED), self.policy_host, self.base)

    @property
    def uncertified(self) -> tuple[Domain, ...]:
        """Give the names that it must not cover, or their cases would be good hosts."""
        return (self.host(Case.WRONG_NAME), self.host(Case.MTA_STS))

    def find_case(self, domain: str) -> Case | None:
        """Find the case of a recipient's domain, in any case; None for another's domain."""
        return self._find(domain, "")

    def find_case_of_host(self, name: str | None) -> Case | None:
        """Find the case of a host that a client named (SNI); None for any other, and for none."""
        return self._find(name, "mx.") if name is not None else None

    def _find(self, name: str, prefix: str) -> Case | None:
        label = name.lower().removesuffix(".").removesuffix(f".{self.base}")
        try:
            case = Case(label.removeprefix(prefix))
        except ValueError:
            return None
        return case if name.lower().removesuffix(".") == f"{prefix}{case}.{self.base}" else None
