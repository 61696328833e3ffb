"""How often a client used each command: the end of the line `disconnect from` in the log.

In Postfix's shape: `ehlo=1 mail=1 rcpt=1/2 data=1 quit=1 commands=5/6`, accepted of all.
"""

from collections import Counter

_VERBS = {
    verb: verb.lower()
    for verb in (
        *("HELO", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"),
        *("RSET", "NOOP", "VRFY", "ETRN", "QUIT", "HELP"),
    )
}
"""In the order in which they are shown. Every other word counts as `unknown`."""
_ORDER = (*_VERBS.values(), "unknown")


class CommandCounts:
    """The commands of one session."""

    def __init__(self) -> None:
        self._accepted: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def add(self, verb: str, *, is_accepted: bool = True) -> None:
        counts = self._accepted if is_accepted else self._refused
        counts[_VERBS.get(verb, "unknown")] += 1

    def format(self) -> str:
        accepted, refused = self._accepted, self._refused
        shown = [
            f"{name}={_format(accepted[name], refused[name])}"
            for name in _ORDER
            if name in accepted or name in refused
        ]
        return " ".join((*shown, f"commands={_format(accepted.total(), refused.total())}"))


def _format(accepted: int, refused: int) -> str:
    return f"{accepted}/{accepted + refused}" if refused else str(accepted)
