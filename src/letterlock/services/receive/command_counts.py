"""How often a client used each command: the end of the line `disconnect from` in the log.

In Postfix's shape: `ehlo=1 mail=1 rcpt=1/2 data=1 quit=1 commands=5/6`, accepted of all.
"""

from collections.abc import Set as AbstractSet
from functools import lru_cache

_ORDER = (
    *("HELO", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"),
    *("RSET", "NOOP", "VRFY", "ETRN", "QUIT", "HELP", "XCLIENT", "XFORWARD"),
)
"""In the order in which they are shown. Every other word counts as `unknown`."""
_NAMES = {verb: verb.lower() for verb in _ORDER}
_PLACES = {name: place for place, name in enumerate((*_NAMES.values(), "unknown"))}


class CommandCounts:
    """The commands of one session."""

    def __init__(self) -> None:
        self._accepted: dict[str, int] = {}
        self._refused: dict[str, int] = {}

    def add(self, verb: str, *, is_accepted: bool = True) -> None:
        counts = self._accepted if is_accepted else self._refused
        name = _NAMES.get(verb, "unknown")
        counts[name] = counts.get(name, 0) + 1

    def has_only(self, names: AbstractSet[str]) -> bool:
        """Say whether no other commands came; `names` in lower case."""
        return self._accepted.keys() <= names and self._refused.keys() <= names

    def format(self) -> str:
        return _format(tuple(self._accepted.items()), tuple(self._refused.items()))


@lru_cache(maxsize=256)
def _format(accepted: tuple[tuple[str, int], ...], refused: tuple[tuple[str, int], ...]) -> str:
    """Kept, since nearly all sessions have one of a few shapes."""
    counts, refusals = dict(accepted), dict(refused)
    names = sorted(counts.keys() | refusals.keys(), key=_PLACES.__getitem__)
    shown = [f"{name}={_share(counts.get(name, 0), refusals.get(name, 0))}" for name in names]
    commands = _share(sum(counts.values()), sum(refusals.values()))
    return " ".join((*shown, f"commands={commands}"))


def _share(accepted: int, refused: int) -> str:
    return f"{accepted}/{accepted + refused}" if refused else str(accepted)
