"""What became of a signature, in the words of Authentication-Results.

RFC 8601 §2.7.1 (results), RFC 6376 §3.9 (SUCCESS is `pass`, TEMPFAIL `temperror`, PERMFAIL any of
the others). Reasons are RFC 6376's where it has them (§6.1).
"""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.base.domains import Domain


class DkimResult(StrEnum):
    """A result. `none`, that there is no signature, is an empty list of them."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    """It was verified, and something else was signed, or by another key."""
    POLICY = "policy"
    """RFC 8301 §3: too weak. Or it expired, or leaves a part of the body unsigned."""
    NEUTRAL = "neutral"
    """It is not written as it has to be, or in a way that is not known here."""
    TEMPERROR = "temperror"
    """Its key could not be looked up now."""
    PERMERROR = "permerror"
    """It cannot be verified: there is no key, or not one for it."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """A signature that is not looked at further. `domain` is d=, where that is readable."""

    result: DkimResult
    reason: str
    domain: Domain | None = None


@dataclass(frozen=True, slots=True)
class SignatureResult:
    """What became of one signature.

    `domain` (d=), `selector` (s=), `auid` (i=) and `algorithm` (a=) are properties of type `header`
    in Authentication-Results; empty where they could not be read. `is_testing`: the key says that
    its domain is only trying. `has_length`: it has an l=, which what relies on it may not like.
    """

    result: DkimResult
    reason: str = ""
    domain: str = ""
    selector: str = ""
    auid: str = ""
    algorithm: str = ""
    is_testing: bool = False
    has_length: bool = False
