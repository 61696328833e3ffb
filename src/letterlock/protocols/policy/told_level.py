"""The level of a delivery as its line in the log has it: `tls=dane`, in Postfix 3.11's words.

What it adds to the level is how it was kept: nothing where it was met, `!` before it where it was
not, `?` behind it where it never came to that, `:none` where mail went in clear though TLS was
wished for. What the recipient's side publishes is in the level: `dane`, `half-dane` (RFC 7672
§2.2.1), `verify` for MTA-STS; `/requiretls` says that the message demands it (RFC 8689 §4.2.1).
"""

from enum import Enum

from letterlock.protocols.policy.requirement import HostUnusable, Level, Requirement

UNKNOWN_LEVEL = "unknown?"
"""What mail is held to can't be known."""


class Kept(Enum):
    """How a level was kept."""

    UNDECIDED = "undecided"
    MET = "met"
    UNMET = "unmet"
    IN_CLEAR = "in clear"


def tell_level(asked: Requirement | HostUnusable, kept: Kept, *, is_requiretls: bool) -> str:
    """Give the word, of small letters and `!?:/-`. A level that asks for nothing is never unmet."""
    word = _name(asked)
    match kept:
        case Kept.UNDECIDED:
            word = f"{word}?"
        case Kept.UNMET:
            word = f"!{word}" if asked.level.is_tls_required else f"{word}?"
        case Kept.IN_CLEAR if asked.level is not Level.NONE:
            word = f"{word}:none"
        case _:
            pass
    return f"{word}/requiretls" if is_requiretls else word


def _name(asked: Requirement | HostUnusable) -> str:
    is_half = (
        isinstance(asked, Requirement)
        and asked.level is Level.DANE
        and asked.dane is not None
        and not asked.dane.is_of_domain
    )
    return "half-dane" if is_half else asked.level.value
