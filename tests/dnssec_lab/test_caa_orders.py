"""Orders of 100 names through real validating resolvers, as an authority looks at finalize.

Baseline Requirements 3.2.2.8: the look of each name is its own. Rules 177 and 226
"""

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.caa.rechecks import ProvedName, RecheckRule, make_issuance
from letterlock.protocols.dns.answers import Answer
from letterlock.services.ca.caa_rechecks import CaaRechecker, Rechecked
from letterlock.services.discover.caa import CaaFinder
from tests.dnssec_lab.test_answers import asking
from tests.dnssec_lab.test_caa import Asking

__all__ = ["asking"]  # a fixture

NAMES = [f"n{number}.caa-wild.secure.example" for number in range(100)]
"""Below a wildcard whose records forbid certificates for wildcards."""


class Recording:
    """Writes down what is asked."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.asked: list[str] = []

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        if rdtype == "CAA":
            self.asked.append(name)
        return await self._resolver.ask(name, rdtype)


async def recheck(asking: Asking, names: list[str]) -> tuple[Rechecked, list[str]]:
    identifiers = [parse_identifier(name) for name in names]
    order = [
        ProvedName(each, make_issuance(each, ("ca.example",), (), "dns-01")) for each in identifiers
    ]
    clock = SystemClock()
    with asking() as resolver:
        recording = Recording(resolver)
        rechecker = CaaRechecker(CaaFinder(recording, clock), clock, RecheckRule())
        return await rechecker.recheck(order), recording.asked


async def test_a_hundred_names_are_a_hundred_lookups(asking: Asking) -> None:
    done, asked = await recheck(asking, NAMES)
    assert done.problem is None
    assert sorted(asked) == sorted(NAMES)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("below.caa.secure.example", "caa"),
        ("*.caa-wild.secure.example", None),
        ("*.n1.caa-wild.secure.example", "caa"),
        ("caa.bogus.example", "dns"),
        ("mx.lame.example", "dns"),
        ("caa.unsigned.example", None),
    ],
)
async def test_one_of_a_hundred_is_enough(asking: Asking, name: str, kind: str | None) -> None:
    """RFC 8659 §3, §4.3, §4.5, §6.4: refused by its own records, and named."""
    done, _ = await recheck(asking, [*NAMES[:57], name, *NAMES[58:]])
    assert (done.problem.type if done.problem else None) == kind
    if done.problem is not None:
        assert done.problem.detail.startswith(f"{name}: ")


async def test_a_hundred_that_are_forbidden_are_named_each_once(asking: Asking) -> None:
    """RFC 8555 §6.7.1"""
    wildcards = [f"*.{name}" for name in NAMES]
    done, _ = await recheck(asking, wildcards)
    assert done.problem is not None
    told = [each.identifier.value for each in done.problem.subproblems if each.identifier]
    assert told == wildcards
