"""Limits in a CAA property: which accounts of an authority, and which validation methods.

RFC 8657 §3 (accounturi), §4 (validationmethods). Other parameters mean what an authority says
(RFC 8659 §4.2), and limit nothing here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from letterlock.protocols.caa.issue_values import IssueValue

ACCOUNT_URI = "accounturi"
VALIDATION_METHODS = "validationmethods"

# RFC 3986 §3: a scheme, and something behind it.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
# value = [*(label ",") label]; label = 1*(ALPHA / DIGIT / "-")
_METHOD = re.compile(r"[A-Za-z0-9-]+")
_METHODS = re.compile(r"(?:[A-Za-z0-9-]+(?:,[A-Za-z0-9-]+)*)?")
_MAX_SHOWN = 200


def is_uri(text: str) -> bool:
    """Tell whether a text can name an account: it has a scheme, and something behind it."""
    return _URI.fullmatch(text) is not None


def is_method(text: str) -> bool:
    """Tell whether a text has the form of a validation method's label."""
    return _METHOD.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class UnmetLimit:
    """A limit that keeps a property from allowing an issuance.

    `is_open`: it depends on an account or a method that nobody told us.
    """

    reason: str
    is_open: bool = False


def find_unmet_limits(
    value: IssueValue, accounts: Sequence[str], method: str | None
) -> tuple[UnmetLimit, ...]:
    """Compare with the account that asks, by all its URIs, and the method that is used.

    No URI, and None: not known.
    """
    return (*_judge_account(value, accounts), *_judge_methods(value, method))


def _judge_account(value: IssueValue, accounts: Sequence[str]) -> Iterator[UnmetLimit]:
    match value.find(ACCOUNT_URI):
        case ():
            return
        case (uri,):
            if not is_uri(uri):
                yield UnmetLimit("its accounturi is no URI")
            elif not accounts:
                yield UnmetLimit(f"it is for the account {uri[:_MAX_SHOWN]} only", is_open=True)
            elif uri not in accounts:
                yield UnmetLimit(f"it is for another account, {uri[:_MAX_SHOWN]}")
        case _:
            yield UnmetLimit("it has more than one accounturi, which no account can meet")


def _judge_methods(value: IssueValue, method: str | None) -> Iterator[UnmetLimit]:
    match value.find(VALIDATION_METHODS):
        case ():
            return
        case ("",):
            yield UnmetLimit("its validationmethods are none")
        case (methods,):
            # Ours: a list in bad form allows no method, also not one that can be made out in it.
            if not _METHODS.fullmatch(methods):
                yield UnmetLimit("its validationmethods are no list of methods")
            elif method is None:
                yield UnmetLimit(f"it is for the methods {methods[:_MAX_SHOWN]} only", is_open=True)
            elif method not in methods.split(","):
                yield UnmetLimit(f"it is for other methods than {method}: {methods[:_MAX_SHOWN]}")
        case _:
            # Ours: the RFC says so of accounturi, and nothing of this one.
            yield UnmetLimit("it has validationmethods more than once, which no method can meet")
