"""MTA-STS records: whether a domain has a policy, and which one it is now.

RFC 8461 §3.1. Looking up `_mta-sts.DOMAIN`, with CNAMEs followed, is `services.discover`'s.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LABEL = "_mta-sts"
"""The record is at this label below the policy domain."""

_VERSION = "v=STSv1"
_START = re.compile(r"v=STSv1[ \t]*(?:;|\Z)")
# sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
_FIELD = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,31})=(?P<value>[!-:<>-~]+)\Z")
_WSP = " \t"
_ID = re.compile(r"[A-Za-z0-9]{1,32}\Z")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class MtaStsRecord:
    """A valid record. An `id` equals another or does not; there is no order among them.

    `text` is the record as it stands in DNS, its strings joined. `extensions` are the fields that
    RFC 8461 does not know, in their order.
    """

    id: str
    text: str
    extensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordError:
    """There is something that wants to be a record, and is not; `text` is what stands there."""

    reason: str
    text: str


def parse_record(texts: Sequence[bytes]) -> MtaStsRecord | RecordError | None:
    """Parse the TXT records at `_mta-sts.DOMAIN`, the strings of each joined without spaces.

    None: none of them is about MTA-STS, as with a wildcard of another purpose. RFC 8461 §3.1: of
    several, those that don't begin `v=STSv1;` are discarded; unless one is left, there is none.
    """
    candidates = [text.decode("latin-1") for text in texts]
    if len(candidates) > 1:
        candidates = [text for text in candidates if text.startswith(f"{_VERSION};")]
    if len(candidates) > 1:
        return RecordError(f"{len(candidates)} MTA-STS records, where one is allowed", "")
    if not candidates or not _START.match(candidates[0]):
        return None
    return _parse_text(candidates[0])


def _parse_text(text: str) -> MtaStsRecord | RecordError:
    # sts-field-delim = *WSP ";" *WSP: white space at the end stands behind a semicolon only.
    _, *pieces = text.split(";")
    fields = [piece.strip(_WSP) for piece in pieces[:-1]]
    if pieces and (last := pieces[-1].lstrip(_WSP)):
        fields.append(last)
    identifier: str | None = None
    extensions = []
    for field in fields:
        found = _FIELD.match(field)
        if found is None:
            return RecordError(f"{field[:_SHOWN_CHARACTERS]!r} is not a `name=value`", text)
        if found["name"] != "id":
            extensions.append((found["name"], found["value"]))
        elif identifier is None:
            # RFC 8461 §3.2: of a field that is there twice, the first counts.
            identifier = found["value"]
    if identifier is None:
        return RecordError("the record has no id", text)
    if not _ID.match(identifier):
        shown = identifier[:_SHOWN_CHARACTERS]
        return RecordError(f"the id {shown!r} is not 1 to 32 letters and digits", text)
    return MtaStsRecord(identifier, text, tuple(extensions))
