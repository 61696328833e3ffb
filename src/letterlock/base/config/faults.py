"""Settings that are well formed and can't be used: a file that is not there, an unknown user.

Whoever is to use them finds that out; `load` knows where they stand (`FoundConfig.place`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from letterlock.base.config.locate import KeyPath, format_key
from letterlock.base.errors import LocalError


@dataclass(frozen=True, slots=True)
class SettingFault:
    """One setting, and what is wrong with it."""

    key: KeyPath
    message: str

    def __str__(self) -> str:
        return f"{format_key(self.key)}: {self.message}"


class SettingFaults(LocalError):  # noqa: N818 - it carries many
    """Settings that can't be used, each with its key and a line of its own."""

    def __init__(self, faults: Iterable[SettingFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def refuse_setting(key: KeyPath, message: str) -> SettingFaults:
    """Make the error of a single setting."""
    return SettingFaults([SettingFault(key, message)])
