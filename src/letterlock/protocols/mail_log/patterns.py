"""Tables from words to causes, looked through in their order: what is more exact is first."""

import re

from letterlock.protocols.mail_log.causes import Cause


class Words:
    """Which cause the words of a text tell of; each row is a cause and patterns for it."""

    def __init__(self, *rows: tuple[Cause, tuple[str, ...]]) -> None:
        self._rows = tuple(
            (re.compile("|".join(patterns)).search, cause) for cause, patterns in rows
        )

    def find(self, text: str) -> Cause | None:
        """Give the first cause that a text tells of; None: none is known."""
        for search, cause in self._rows:
            if search(text) is not None:
                return cause
        return None
