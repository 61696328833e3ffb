"""A challenge that is processed becomes valid or invalid, with all that was seen in the audit log.

RFC 8555 §7.5.1, §8.2; Baseline Requirements 3.2.2.8, 5.4.1.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import Authorization, Challenge
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.protocols.acme.server.rate_limits import Counter, Limit
from letterlock.protocols.acme.server.refusals import ErrorType, Refusal
from letterlock.protocols.acme.server.transitions import deactivate_authorization, respond
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.acme.validation.quorums import QuorumRules
from letterlock.protocols.audit.decisions import ValidationLogged
from letterlock.protocols.caa.decide import Issuance
from letterlock.protocols.caa.rechecks import RecheckRule, find_due
from letterlock.protocols.dns.answers import CaaRecord
from letterlock.services.ca.issuances import Issuances
from letterlock.services.ca.requests.limits import RequestLimits, count_in_a_row
from letterlock.services.ca.validating.perspectives import Perspectives
from letterlock.services.ca.validating.validate import Validation, Validator
from letterlock.services.ca.validations import ValidationRules, Validations
from letterlock.storage.ca.kept import Claimed, KeptAuthorization, Lease, PausedName, Work, WorkKind
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import FakeClock, FakeLog
from tests.services.ca.validating.scene import BOUNDS, TOKEN, Scene
from tests.services.ca.work_store import WorkStore

KEY = make_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
ISSUANCES = Issuances(("ca.example",), Places("https://ca.example"))
GAP = timedelta(seconds=5)
FAILURES = Limit("failed validations of a name", 2, 2, timedelta(hours=1))
RULES = ValidationRules(3, GAP, {"default": timedelta(days=10)})


class Authority:
    """One name of one account, which says that it is ready."""

    def __init__(self, name: str = "a.example", rules: ValidationRules = RULES) -> None:
        self.clock, self.log, self.store, self.scene = FakeClock(), FakeLog(), WorkStore(), Scene()
        self.scene.resolver.set("example", "CAA")
        self.scene.resolver.set("a.example", "CAA", CaaRecord(0, b"issue", b"ca.example"))
        perspectives = Perspectives(self.scene.perspective(), (), QuorumRules())
        validator = Validator(perspectives, self.clock, BOUNDS)
        self.validations = Validations(
            self.store, validator, ISSUANCES, rules, self.clock, self.log
        )
        self.rules = rules
        self.respond(name)

    def respond(self, name: str) -> None:
        identifier = parse_identifier(name)
        pending = Authorization(
            id="an-authorization-id",
            account_id="an-account-id-00",
            identifier=parse_identifier(identifier.base),
            status=AuthorizationStatus.PENDING,
            expires=self.clock.now() + timedelta(days=1),
            challenges=(Challenge("dns-01", TOKEN),),
            is_wildcard=identifier.is_wildcard,
            profile="default",
        )
        found = respond(pending, "dns-01", KEY, self.clock.now())
        assert not isinstance(found, Refusal)
        self.keep(found)
        until = self.clock.now() + timedelta(minutes=5)
        work = Work(WorkKind.VALIDATION, found.id, self.clock.now(), b"dns-01")
        lease = Lease(WorkKind.VALIDATION, found.id, "here", until)
        self.store.work[found.id] = Claimed(work, lease)

    def keep(self, authorization: Authorization) -> None:
        self.store.authorizations[authorization.id] = KeptAuthorization(authorization)

    def publish(self, name: str = "_acme-challenge.a.example") -> None:
        (challenge,) = self.kept.authorization.challenges
        assert challenge.key_authorization is not None
        self.scene.resolver.set(name, "TXT", dns_value(challenge.key_authorization).encode())

    async def try_once(self) -> Challenge:
        """What whoever claims the work next does."""
        claimed = self.store.work["an-authorization-id"]
        if (due := await self.validations.do(claimed)) is not None:
            assert due == self.clock.now() + self.rules.gap
            self.clock.move(self.rules.gap)
            until = self.clock.now() + timedelta(minutes=5)
            await self.store.claim_work(WorkKind.VALIDATION, "here", self.clock.now(), until, 1)
        (challenge,) = self.kept.authorization.challenges
        return challenge

    @property
    def kept(self) -> KeptAuthorization:
        (only,) = self.store.authorizations.values()
        return only

    @property
    def logged(self) -> list[ValidationLogged]:
        found = [each.decision for each in self.store.entries]
        assert all(isinstance(each, ValidationLogged) for each in found)
        return [each for each in found if isinstance(each, ValidationLogged)]


@pytest.mark.parametrize("name", ["a.example", "*.a.example"])
async def test_a_name_that_is_proved_is_valid_with_its_look_at_caa_and_its_records(
    name: str,
) -> None:
    authority = Authority(name)
    authority.publish()
    challenge = await authority.try_once()
    kept = authority.kept
    assert challenge.status is ChallengeStatus.VALID
    assert challenge.validated == authority.clock.now()
    assert kept.authorization.status is AuthorizationStatus.VALID
    assert kept.authorization.expires == authority.clock.now() + timedelta(days=10)
    # What finalize asks finds the look good: by this account and method, for this name.
    proved = ISSUANCES.prove(kept.authorization, kept.check)
    assert find_due([proved], authority.clock.now(), RecheckRule()) == ()
    (logged,) = authority.logged
    assert logged.name == name
    assert logged.problem is None
    assert (logged.method, logged.requirements) == ("dns-01", "2.2.6")  # BR 3.2.2.4
    assert [each.type for each in logged.looks[0].lookups] == ["TXT"]
    assert [each.type for each in logged.caa_looks[0].lookups] == ["CAA"]
    assert logged.caa_looks[0].accounts == ("https://ca.example/account/an-account-id-00",)
    assert authority.store.work == {}
    assert authority.log.texts == [f"{name} by dns-01: valid"]


async def test_what_was_stored_a_moment_ago_is_not_loaded_but_compared() -> None:
    """Given up meanwhile: it stays so, and what was seen is logged."""
    authority = Authority()
    authority.publish()
    claimed = replace(authority.store.work["an-authorization-id"], kept=authority.kept)
    given_up = deactivate_authorization(authority.kept.authorization, authority.clock.now())
    assert not isinstance(given_up, Refusal)
    authority.keep(given_up)
    assert await authority.validations.do(claimed) is None
    assert authority.kept.authorization == given_up
    assert authority.store.work == {}
    (logged,) = authority.logged
    assert logged.problem is None


async def test_a_wrong_answer_is_the_last_look() -> None:
    authority = Authority()
    authority.scene.resolver.set("_acme-challenge.a.example", "TXT", b"other")
    challenge = await authority.try_once()
    assert challenge.status is ChallengeStatus.INVALID
    assert challenge.error is not None
    assert challenge.error.type == "incorrectResponse"
    assert authority.kept.authorization.status is AuthorizationStatus.INVALID
    assert authority.store.work == {}


async def test_what_dns_does_not_answer_is_looked_for_again_until_it_is_there() -> None:
    """RFC 8555 §8.2: processing meanwhile, with the error of the last try. Rule 257"""
    authority = Authority()
    authority.scene.resolver.fail("_acme-challenge.a.example", "TXT")
    challenge = await authority.try_once()
    assert challenge.status is ChallengeStatus.PROCESSING
    assert challenge.error is not None
    assert challenge.error.type == "dns"
    authority.publish()
    challenge = await authority.try_once()
    assert challenge.status is ChallengeStatus.VALID
    assert challenge.error is None
    assert [each.problem is None for each in authority.logged] == [False, True]


async def test_so_many_tries_are_made_and_no_more() -> None:
    authority = Authority()
    authority.scene.resolver.fail("_acme-challenge.a.example", "TXT")
    states = [(await authority.try_once()).status for _ in range(3)]
    assert states == [*[ChallengeStatus.PROCESSING] * 2, ChallengeStatus.INVALID]
    assert authority.store.work == {}
    assert len(authority.logged) == 3


async def test_caa_that_forbids_ends_it_with_the_look_in_the_log() -> None:
    authority = Authority()
    authority.publish()
    authority.scene.resolver.set("a.example", "CAA", CaaRecord(0, b"issue", b"other.example"))
    challenge = await authority.try_once()
    assert challenge.status is ChallengeStatus.INVALID
    assert challenge.error is not None
    assert challenge.error.type == "caa"
    (logged,) = authority.logged
    assert logged.caa_looks[0].decision == "deny"


async def test_the_account_s_former_urls_count_in_caa() -> None:
    """RFC 8657 §5.4: the authority has another name now, and records name the old one."""
    authority = Authority()
    places = Places("https://ca.example", ("https://old.example",))
    issuances = Issuances(("ca.example",), places)
    issuance = issuances.describe(authority.kept.authorization, Challenge("dns-01", TOKEN))
    assert issuance is not None
    assert issuance.accounts == (
        "https://ca.example/account/an-account-id-00",
        "https://old.example/account/an-account-id-00",
    )


async def test_who_gives_the_authorization_up_meanwhile_keeps_it_given_up() -> None:
    authority = Authority()
    authority.publish()

    class GivingUp:
        async def validate(self, expected: Expected, issuance: Issuance | None) -> Validation:
            seen = await inner.validate(expected, issuance)
            now = authority.clock.now()
            given_up = deactivate_authorization(authority.kept.authorization, now)
            assert not isinstance(given_up, Refusal)
            authority.keep(given_up)
            return seen

    inner = Validator(
        Perspectives(authority.scene.perspective(), (), QuorumRules()), authority.clock, BOUNDS
    )
    validations = Validations(
        authority.store, GivingUp(), ISSUANCES, RULES, authority.clock, authority.log
    )
    assert await validations.do(authority.store.work["an-authorization-id"]) is None
    assert authority.kept.authorization.status is AuthorizationStatus.DEACTIVATED
    assert authority.store.work == {}
    assert len(authority.logged) == 1


async def test_an_authorization_that_has_expired_is_not_made_valid() -> None:
    """RFC 8555 §7.1.6: from pending to expired, and there it stays."""
    authority = Authority()
    authority.publish()
    authority.clock.move(timedelta(days=2))
    challenge = await authority.try_once()
    assert challenge.status is ChallengeStatus.PROCESSING
    assert authority.store.work == {}
    assert authority.scene.resolver.asked == []


async def test_whose_lease_another_took_changes_nothing() -> None:
    authority = Authority()
    authority.publish()
    claimed = authority.store.work["an-authorization-id"]
    authority.clock.move(timedelta(minutes=5))
    later = authority.clock.now() + timedelta(minutes=5)
    await authority.store.claim_work(
        WorkKind.VALIDATION, "another", authority.clock.now(), later, 1
    )
    assert await authority.validations.do(claimed) is None
    assert authority.logged == []
    assert authority.kept.authorization.status is AuthorizationStatus.PENDING


async def test_nothing_becomes_valid_while_the_audit_log_cannot_be_written() -> None:
    """Rule 258"""
    authority = Authority()
    authority.publish()
    claimed = authority.store.work["an-authorization-id"]
    authority.store.is_away = True
    with pytest.raises(StoreUnavailable):
        await authority.validations.do(claimed)
    assert authority.kept.authorization.status is AuthorizationStatus.PENDING


async def test_a_defect_in_a_look_ends_as_a_challenge_that_failed() -> None:
    authority = Authority(rules=replace(RULES, tries=1))

    class Broken:
        async def validate(self, expected: Expected, issuance: Issuance | None) -> Validation:
            del expected, issuance
            raise RuntimeError("no such thing")

    validations = Validations(
        authority.store, Broken(), ISSUANCES, authority.rules, authority.clock, authority.log
    )
    await validations.do(authority.store.work["an-authorization-id"])
    (challenge,) = authority.kept.authorization.challenges
    assert challenge.error == Problem(
        ErrorType.SERVER_INTERNAL, "the validation broke off; this is the authority's fault"
    )
    assert "no such thing" in authority.log.texts[0]
    assert authority.logged[0].looks == ()


async def test_failures_of_a_name_are_counted_and_successes_are_not() -> None:
    limits = RequestLimits(failures_per_name=FAILURES)
    authority = Authority(rules=replace(RULES, limits=limits))
    for _ in range(3):
        authority.scene.resolver.set("_acme-challenge.a.example", "TXT", b"other")
        # The third is more than the limit, and ends all the same.
        assert (await authority.try_once()).status is ChallengeStatus.INVALID
        authority.respond("a.example")
    (counter,) = authority.store.counters.values()
    assert counter.key == "an-account-id-00 a.example"
    assert counter.empty_at == authority.clock.now() + timedelta(hours=1)
    authority.publish()
    await authority.try_once()
    assert list(authority.store.counters.values()) == [counter]


async def test_a_name_that_fails_for_months_is_paused_and_a_success_empties_the_count() -> None:
    limits = RequestLimits(page="https://ca.example/paused")
    authority = Authority(rules=replace(RULES, limits=limits))
    identifier = authority.kept.authorization.identifier
    counter = count_in_a_row("an-account-id-00", identifier)
    full = authority.clock.now() + timedelta(days=3599, hours=12)
    authority.store.counters[counter.limit.name, counter.key] = replace(counter, empty_at=full)
    authority.scene.resolver.set("_acme-challenge.a.example", "TXT", b"other")
    await authority.try_once()
    assert authority.store.paused == [
        PausedName("an-account-id-00", identifier, authority.clock.now())
    ]
    authority.respond("a.example")
    authority.publish()
    assert (await authority.try_once()).status is ChallengeStatus.VALID
    (kept,) = await authority.store.load_counters([counter])
    assert kept.empty_at is None
    authority.respond("a.example")
    authority.scene.resolver.set("_acme-challenge.a.example", "TXT", b"other")
    await authority.try_once()
    assert len(authority.store.paused) == 1


async def test_who_counts_on_the_same_limit_meanwhile_does_not_hold_up_the_outcome() -> None:
    limits = RequestLimits(page="https://ca.example/paused")
    authority = Authority(rules=replace(RULES, limits=limits))
    authority.scene.resolver.set("_acme-challenge.a.example", "TXT", b"other")
    store, counter = (
        authority.store,
        count_in_a_row("an-account-id-00", authority.kept.authorization.identifier),
    )
    real = store.load_counters

    async def be_overtaken_once(counters: Sequence[Counter]) -> tuple[Counter, ...]:
        found = await real(counters)
        store.counters[counter.limit.name, counter.key] = replace(
            counter, empty_at=authority.clock.now() + timedelta(days=2)
        )
        return found

    store.load_counters = be_overtaken_once  # type: ignore[method-assign] # as another would
    assert (await authority.try_once()).status is ChallengeStatus.INVALID
    assert len(authority.logged) == 1
