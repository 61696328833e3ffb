"""One look at a challenge from one perspective: by the method that was asked for, within its time.

RFC 8555 §8. Whatever is seen is a value; what the parts of it are is in the modules beside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.validation.proofs import Expected, find_method_fault
from letterlock.services.ca.validating.dns_01 import look_for_text
from letterlock.services.ca.validating.hosts import ValidationBounds
from letterlock.services.ca.validating.http_01 import look_for_file
from letterlock.services.ca.validating.outcomes import Looked, Notes, refuse
from letterlock.services.ca.validating.perspectives import Perspective
from letterlock.services.ca.validating.tls_alpn_01 import look_for_certificate

Look = Callable[[Expected, Perspective, ValidationBounds, Notes], Awaitable[Problem | None]]

_LOOKS: Mapping[ChallengeType, Look] = {
    "http-01": look_for_file,
    "dns-01": look_for_text,
    "tls-alpn-01": look_for_certificate,
}


async def look_at_challenge(
    expected: Expected, perspective: Perspective, bounds: ValidationBounds
) -> Looked:
    """Look, and write down what was seen. Wildcards by dns-01 only, addresses never by it."""
    notes = Notes()
    if fault := find_method_fault(expected):
        return notes.conclude(expected, refuse(ErrorType.MALFORMED, fault))
    try:
        async with asyncio.timeout(bounds.seconds):
            problem = await _LOOKS[expected.method](expected, perspective, bounds, notes)
    except TimeoutError:
        kind = ErrorType.DNS if expected.method == "dns-01" else ErrorType.CONNECTION
        last = f"; the last that was seen: {notes.steps[-1]}" if notes.steps else ""
        detail = f"{expected.identifier}: no proof within {bounds.seconds:g} seconds{last}"
        problem = refuse(kind, detail)
    return notes.conclude(expected, problem)
