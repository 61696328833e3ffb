"""A setting that contradicts another: what `checks` finds."""

from dataclasses import dataclass

from letterlock.base.config.locate import KeyPath


@dataclass(frozen=True, slots=True)
class Conflict:
    """A setting that does not go with another. `others` are the keys that it depends on."""

    path: KeyPath
    message: str
    others: tuple[KeyPath, ...] = ()
