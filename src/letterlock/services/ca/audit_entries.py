"""What the audit log has of validations and of looks at CAA: what those who look have, as texts.

Baseline Requirements 5.4.1. Other decisions are few words, and are made where they fall.
"""

from datetime import datetime

from letterlock.protocols.acme.identifiers import IP
from letterlock.protocols.acme.server.objects import Authorization
from letterlock.protocols.audit.decisions import (
    CaaLogged,
    LoggedCaaLook,
    LoggedLook,
    NameBasis,
    ValidationLogged,
)
from letterlock.protocols.audit.describing import (
    describe_answer,
    describe_caa_look,
    describe_problem,
    shorten_line,
)
from letterlock.protocols.caa.rechecks import ProvedName
from letterlock.services.ca.caa_rechecks import Rechecked
from letterlock.services.ca.validating.caa_looks import CaaLooked
from letterlock.services.ca.validating.outcomes import Looked
from letterlock.services.ca.validating.perspectives import Corroboration, Report, Seen
from letterlock.services.ca.validating.validate import Validation

MAX_STEPS = 50
BASELINE_REQUIREMENTS = "2.2.6"
"""The version that `validating` follows: to be kept with each proof (3.2.2.4, 3.2.2.5)."""


def describe_validation(
    authorization: Authorization, method: str, validation: Validation
) -> ValidationLogged:
    """Write down a validation, with what each perspective saw of the proof and of CAA."""
    control, caa = validation.control, validation.caa
    return ValidationLogged(
        authorization=authorization.id,
        account=authorization.account_id,
        name=authorization.ordered.value,
        method=method,
        looks=tuple(_describe_look(each) for each in _all_of(control)),
        caa_looks=tuple(_describe_caa(each) for each in _all_of(caa)) if caa else (),
        quorum=str(control.quorum) if control.quorum is not None else None,
        caa_quorum=str(caa.quorum) if caa is not None and caa.quorum is not None else None,
        problem=describe_problem(validation.problem),
        requirements=BASELINE_REQUIREMENTS,
    )


def describe_recheck(order_id: str, rechecked: Rechecked) -> CaaLogged:
    """Write down the looks that were made again for an order: one for each name that was due."""
    began = {name.issuance: name.check.began for name in rechecked.names if name.check is not None}
    return CaaLogged(
        order=order_id,
        due=tuple((str(each.issuance), shorten_line(each.reason)) for each in rechecked.due),
        looks=tuple(
            describe_caa_look(answer.verdict, began[answer.verdict.issuance], answer.facts.lookups)
            for answer in rechecked.answers
        )
        + tuple(_describe_caa(each) for each in rechecked.remotes),
        problem=describe_problem(rechecked.problem),
    )


def describe_basis(
    proved: ProvedName, authorization_id: str, method: str, validated: datetime | None
) -> NameBasis:
    """Write down what a name of a certificate rests on."""
    check = proved.check if proved.identifier.type != IP else None
    return NameBasis(
        name=proved.identifier.value,
        authorization=authorization_id,
        method=method,
        validated=validated,
        caa_began=check.began if check is not None else None,
        caa_ttl=int(check.ttl.total_seconds()) if check is not None and check.ttl else None,
    )


def _all_of(seen: Corroboration[Seen]) -> tuple[Report[Seen], ...]:
    return (seen.primary, *seen.remotes)


def _describe_look(report: Report[Looked]) -> LoggedLook:
    seen = report.seen
    return LoggedLook(
        perspective=report.perspective,
        region=report.region,
        steps=tuple(shorten_line(each) for each in seen.steps[:MAX_STEPS]),
        lookups=tuple(describe_answer(each) for each in seen.lookups),
        problem=describe_problem(seen.problem),
    )


def _describe_caa(report: Report[CaaLooked]) -> LoggedCaaLook:
    answer = report.seen.answer
    place = (report.perspective, report.region)
    return describe_caa_look(answer.verdict, report.seen.began, answer.facts.lookups, place)
