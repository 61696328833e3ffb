"""Names below which anybody may register one: no wildcard speaks for all of those.

Baseline Requirements 3.2.2.6, with the part of the Public Suffix List that registries wrote. The
list is the one that came with the package; a newer one comes with a newer package.
"""

from functools import cache

from publicsuffixlist import PublicSuffixList


class PublicSuffixes:
    """`co.uk` is in it, `example.co.uk` is not. The first reads the list: for the start only."""

    def __init__(self) -> None:
        self._list = _read_list()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._list.is_public(name)


@cache  # It takes a tenth of a second.
def _read_list() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True, accept_unknown=False)
