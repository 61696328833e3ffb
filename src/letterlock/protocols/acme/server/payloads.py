"""The payloads of requests: JSON objects, bounded, whose unknown fields are passed over.

RFC 8555 §7.1 (unknown fields), §6.3 (POST-as-GET), §7.5.1 (responses to challenges; erratum 5729:
any object, though ours define no field).
"""

from letterlock.protocols.acme.fields import Fields, ObjectError, parse_object
from letterlock.protocols.acme.server.refusals import ErrorType, Refusal, refuse
from letterlock.protocols.acme.server.signed_requests import SignedRequest


def read_payload(payload: bytes, name: str) -> Fields | Refusal:
    """Read a payload that is an object; `name` says of what, in errors."""
    try:
        return parse_object(payload, name)
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))


def refuse_payload(request: SignedRequest) -> Refusal | None:
    """Refuse what has a payload where only POST-as-GET is taken; None: it has none."""
    if request.is_post_as_get:
        return None
    return refuse(ErrorType.MALFORMED, "this is fetched with an empty payload (POST-as-GET)")
