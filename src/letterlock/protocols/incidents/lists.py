"""Lists of serial numbers, read as they come: octets in, line numbers and serial numbers out.

What is read: the text that Let's Encrypt published in 2020 (`serial 0362... 131 b8dc... names: [a]
missing CAA checking results for a at ...`), one serial number a line, CSV, and CRLs (RFC 5280 §5),
DER or PEM. How octets are cut does not matter. Unpacking is the caller's; entries as text are in
`entries`.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat

from letterlock.protocols.incidents.crls import MAX_CRL_OCTETS, SerialListError, read_crl_list
from letterlock.protocols.incidents.serials import SerialError, parse_serial

MAX_LINE_OCTETS = 64 * 1024
"""A line of 2020 has at most 100 names."""
MAX_ENTRIES = 20_000_000
MAX_LINES = 50_000_000
MAX_FAULTS = 3
FEW_UNREADABLE = 10
"""With more of them than of entries, it is another file that was taken for a list."""

Listed = tuple[int, int]
"""Where an entry is, from 1 (a line; of a CRL, the place among its entries), and its serial."""

_LINE_OF_2020 = re.compile(rb"\nserial ([0-9a-f]{1,40}) [0-9]{1,20} ")
# Also where the serial number is missing.
_BEGIN_OF_2020 = re.compile(rb"serial [^ ]{0,200} ?[0-9]{1,20} [0-9a-f]{64} ")
_IS_ACCOUNT = re.compile(rb"[0-9]{1,20}")
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DER = re.compile(rb"\x30[\x81-\x84]")
_PEM_STARTS = (b"-----BEGIN", b"Certificate Revocation List (CRL):")
_DELIMITERS = (b",", b";", b"\t")
_HEADING = re.compile(rb"[a-z _.-]*serial[a-z _.-]*", re.IGNORECASE)
_MAX_HEADING = 100
_SCRAP_OCTETS = 60


class ListForm(StrEnum):
    """How a list is written."""

    LINES_OF_2020 = "lets-encrypt-2020"
    LINES = "lines"
    CSV = "csv"
    CRL = "crl"


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that has no serial number which can be read."""

    line: int
    reason: str


class SerialListReader:
    """Takes a list piece by piece. Errors are SerialListError: it is no list, or beyond limits.

    After `finish`: `form`; `unreadable`, how many lines have something else than a serial number,
    with the first `faults`; `issuer`, of a CRL, is the DER of its issuer's name, else None.
    """

    def __init__(self) -> None:
        self.form: ListForm | None = None
        self.unreadable = 0
        self.faults: list[Fault] = []
        self.issuer: bytes | None = None
        self._rest = b""
        self._lines = 0
        self._entries = 0
        self._is_begun = False
        self._whole = bytearray()
        self._parse: Callable[[bytes], int] = parse_serial

    def receive(self, octets: bytes) -> list[Listed]:
        """Take octets; gives what is whole by now."""
        if self.form is ListForm.CRL:
            self._gather(octets)
            return []
        self._rest += octets
        if not self._is_begun and not self._begin():
            return []
        whole, end, self._rest = self._rest.rpartition(b"\n")
        listed = self._read(whole) if end else []
        if len(self._rest) > MAX_LINE_OCTETS:
            raise SerialListError(f"line {self._lines + 1} has more than {MAX_LINE_OCTETS} octets")
        return listed

    def finish(self) -> list[Listed]:
        """Say that this was all. Raises SerialListError also where nothing or nonsense came."""
        if not self._is_begun:
            self._begin(is_all=True)
        last, self._rest = self._rest, b""
        listed = self._read(last) if last else []
        if self.form is ListForm.CRL:
            return self._read_crl()
        if not self._entries:
            raise SerialListError("no serial number is in it")
        if self.unreadable > max(FEW_UNREADABLE, self._entries):
            first = self.faults[0]
            raise SerialListError(
                f"{self.unreadable} of its lines have no serial number, line {first.line} for one "
                f"({first.reason}): no list of serial numbers"
            )
        return listed

    def _read_crl(self) -> list[Listed]:
        crl = read_crl_list(bytes(self._whole))
        self._whole.clear()
        self.issuer = crl.issuer
        return list(enumerate(crl.serials, 1))

    def _begin(self, *, is_all: bool = False) -> bool:
        """Look at the first octets; gives whether it is known now what they are."""
        if len(self._rest) < len(_BOM) and not is_all:
            return False
        if self._rest.startswith(_UTF_16):
            raise SerialListError("it is in UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
        self._is_begun = True
        if _DER.match(self._rest):
            self._become_crl()
            return False
        self._rest = self._rest.removeprefix(_BOM)
        return True

    def _become_crl(self) -> None:
        self.form = ListForm.CRL
        octets, self._rest = self._rest, b""
        self._gather(octets)

    def _gather(self, octets: bytes) -> None:
        self._whole += octets
        if len(self._whole) > MAX_CRL_OCTETS:
            raise SerialListError(f"a CRL of more than {MAX_CRL_OCTETS} octets")

    def _read(self, whole: bytes) -> list[Listed]:
        """Read whole lines, without the line break of the last one."""
        if self.form is None:
            self._choose(whole.partition(b"\n")[0])
        if self.form is ListForm.LINES_OF_2020 and (quick := self._read_2020(whole)):
            return quick
        listed: list[Listed] = []
        lines = whole.split(b"\n")
        for at, line in enumerate(lines):
            if self.form is None:
                self._choose(line)
            if self.form is ListForm.CRL:
                # The lines that stand before it are blank, or comments.
                self._gather(b"\n".join([*lines[at:], self._rest]))
                self._rest = b""
                return []
            self._lines += 1
            if self.form is not None:
                self._read_line(line, listed)
        self._count(len(listed))
        return listed

    def _read_2020(self, whole: bytes) -> list[Listed]:
        """Read lines that are all of the usual form, at once; none where one is not."""
        # Three million of them: this is a third of the time that line by line takes.
        found = _LINE_OF_2020.findall(b"\n" + whole)
        if len(found) != whole.count(b"\n") + 1:
            return []
        first = self._lines + 1
        self._lines += len(found)
        self._count(len(found))
        return list(zip(range(first, self._lines + 1), map(int, found, repeat(16)), strict=True))

    def _count(self, entries: int) -> None:
        self._entries += entries
        if self._entries > MAX_ENTRIES or self._lines > MAX_LINES:
            raise SerialListError(f"a list of more than {MAX_ENTRIES} entries")

    def _choose(self, line: bytes) -> None:
        """Take the form from the first line that says something; leaves it None for the others."""
        text = line.strip()
        if not text or text.startswith(b"#") or _is_heading(text):
            return
        if text.startswith(_PEM_STARTS):
            self.form = ListForm.CRL
        elif _BEGIN_OF_2020.match(text):
            self.form, self._parse = ListForm.LINES_OF_2020, _parse_2020
        elif any(each in text for each in _DELIMITERS):
            self.form = ListForm.CSV
            columns = _Columns(text)
            self._parse = columns.parse
        else:
            self.form = ListForm.LINES

    def _read_line(self, line: bytes, listed: list[Listed]) -> None:
        text = line.strip()
        if not text or text.startswith(b"#"):
            return
        try:
            listed.append((self._lines, self._parse(text)))
        except _NoEntry:
            return
        except SerialError as error:
            self.unreadable += 1
            if len(self.faults) < MAX_FAULTS:
                scrap = text[:_SCRAP_OCTETS].decode("utf-8", "replace")
                self.faults.append(Fault(self._lines, f"{error}: {scrap!r}"))


class _NoEntry(Exception):  # noqa: N818 - a heading, not a mistake
    """A line is no entry and no fault."""


def _parse_2020(text: bytes) -> int:
    # A serial number that is missing must not have the account's number taken for it.
    fields = text.split(b" ", 3)
    if fields[0] != b"serial" or len(fields) < 4 or not _IS_ACCOUNT.fullmatch(fields[2]):
        raise SerialError("no serial number before the account's number")
    return parse_serial(fields[1])


class _Columns:
    """Rows of a CSV file, one on a line; the first line may say which column is the serial's."""

    def __init__(self, first: bytes) -> None:
        self._delimiter = max(_DELIMITERS, key=first.count)
        self._heading: bytes | None = None
        self._column = 0
        try:
            cells = self._cut(first)
        except SerialError:
            return  # it is no heading, and is told as the row that it is
        for column, cell in enumerate(cells):
            if _is_heading(cell.strip()):
                self._heading, self._column = first, column
                break

    def parse(self, text: bytes) -> int:
        if text == self._heading:
            self._heading = None
            raise _NoEntry
        cells = self._cut(text)
        return parse_serial(cells[self._column] if self._column < len(cells) else b"")

    def _cut(self, text: bytes) -> list[bytes]:
        if b'"' not in text:
            return text.split(self._delimiter)
        row = text.decode("utf-8", "replace")
        try:
            (cells,) = csv.reader([row], delimiter=self._delimiter.decode("ascii"), strict=True)
        except (csv.Error, ValueError) as error:
            raise SerialError("not a row of CSV") from error
        return [cell.encode("utf-8", "replace") for cell in cells]


def _is_heading(text: bytes) -> bool:
    return len(text) <= _MAX_HEADING and _HEADING.fullmatch(text) is not None
