"""TLS reporting records: where a domain wants to hear how senders fared with its TLS.

RFC 8460 §3. Looking `_smtp._tls.DOMAIN` up is `services.discover`'s; of a list of destinations
all are given, also those of schemes that no reporter knows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LABEL = "_smtp._tls"
"""The record is at these labels below the policy domain."""

_VERSION = "v=TLSRPTv1"
_START = re.compile(r"v=TLSRPTv1[ \t]*(?:;|\Z)")
# tlsrpt-extension = tlsrpt-ext-name "=" tlsrpt-ext-value
_EXTENSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+\Z")
_RUA = "rua="
_COMMA = re.compile(r"[ \t]*,[ \t]*")
# RFC 3986 §2, §3: scheme ":" and what a URI is made of; "," "!" ";" must be encoded here.
_URI = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):"
    r"(?:[A-Za-z0-9._~:/?#\[\]@$&'()*+=-]|%[0-9A-Fa-f]{2})+\Z"
)
_SCHEMES = ("mailto", "https")
_WSP = " \t"
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class TlsrptRecord:
    """A valid record. `rua` holds its URIs as they are written, in their order.

    `text` is the record as it stands in DNS, its strings joined.
    """

    rua: tuple[str, ...]
    text: str

    @property
    def destinations(self) -> tuple[str, ...]:
        """The URIs of the two schemes to which reports can be sent."""
        return tuple(uri for uri in self.rua if uri.partition(":")[0].lower() in _SCHEMES)


@dataclass(frozen=True, slots=True)
class TlsrptRecordError:
    """There is something that wants to be a record, and is not; `text` is what stands there."""

    reason: str
    text: str


def parse_record(texts: Sequence[bytes]) -> TlsrptRecord | TlsrptRecordError | None:
    """Parse the TXT records at `_smtp._tls.DOMAIN`, the strings of each joined without spaces.

    None: none of them is about TLS reports. RFC 8460 §3: of several, those that don't begin with
    `v=TLSRPTv1;` are discarded; unless one is left, the domain wants no reports.
    """
    candidates = [text.decode("latin-1") for text in texts]
    if len(candidates) > 1:
        candidates = [text for text in candidates if text.startswith(f"{_VERSION};")]
    if len(candidates) > 1:
        return TlsrptRecordError(f"{len(candidates)} TLSRPT records, where one is allowed", "")
    if not candidates or not _START.match(candidates[0]):
        return None
    return _parse_text(candidates[0])


def _parse_text(text: str) -> TlsrptRecord | TlsrptRecordError:
    # field-delim = *WSP ";" *WSP: white space at the end stands behind a semicolon only.
    _, *pieces = text.split(";")
    fields = [piece.strip(_WSP) for piece in pieces[:-1]]
    if pieces and (last := pieces[-1].lstrip(_WSP)):
        fields.append(last)
    uris: list[str] = []
    for field in fields:
        if field.startswith(_RUA):
            found = _COMMA.split(field.removeprefix(_RUA))
            wrong = next((uri for uri in found if not _URI.match(uri)), None)
            if wrong is not None:
                return TlsrptRecordError(f"rua: {wrong[:_SHOWN_CHARACTERS]!r} is not a URI", text)
            uris += found
        elif not _EXTENSION.match(field):
            shown = field[:_SHOWN_CHARACTERS]
            return TlsrptRecordError(f"{shown!r} is not a `name=value`", text)
    if not uris:
        return TlsrptRecordError("the record has no rua", text)
    return TlsrptRecord(tuple(uris), text)
