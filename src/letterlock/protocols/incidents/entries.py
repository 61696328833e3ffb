"""What a list says of a certificate, found again by its place in the list.

An index keeps places, not texts: of three million entries one or two are wanted. RFC 5280 §5.1.2.6
for the entries of a CRL.
"""

from collections.abc import Collection

from letterlock.protocols.incidents.crls import describe_crl_entries
from letterlock.protocols.incidents.lists import ListForm

MAX_ENTRY_CHARACTERS = 2000


class EntryReader:
    """Takes a list piece by piece once more; gives the texts of the places that are wanted."""

    def __init__(self, form: ListForm, places: Collection[int]) -> None:
        self._form = form
        self._wanted = sorted(set(places), reverse=True)
        self._texts: dict[int, str] = {}
        self._whole = bytearray()
        self._line = 1
        self._rest = b""

    @property
    def is_done(self) -> bool:
        """Nothing more is wanted; what follows need not be read."""
        return not self._wanted

    def receive(self, octets: bytes) -> None:
        """Take octets."""
        if self._form is ListForm.CRL:
            self._whole += octets
        elif self._wanted:
            self._skip(octets)

    def finish(self) -> dict[int, str]:
        """Give the texts. Raises SerialListError for a CRL that cannot be read any more."""
        if self._form is ListForm.CRL:
            return describe_crl_entries(bytes(self._whole), self._wanted)
        self._take(self._rest)
        return self._texts

    def _skip(self, octets: bytes) -> None:
        breaks = octets.count(b"\n")
        if self._line + breaks < self._wanted[-1]:
            self._line += breaks
            self._rest = octets[octets.rfind(b"\n") + 1 :] if breaks else self._rest + octets
            return
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            self._take(line)
            self._line += 1

    def _take(self, line: bytes) -> None:
        if self._wanted and self._wanted[-1] == self._line:
            self._wanted.pop()
            text = " ".join(line.decode("utf-8", "replace").split())
            if len(text) > MAX_ENTRY_CHARACTERS:
                text = f"{text[:MAX_ENTRY_CHARACTERS]}..."
            self._texts[self._line] = text
