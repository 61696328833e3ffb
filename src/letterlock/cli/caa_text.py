"""An answer of `caa check` for people: what was asked, how sure it is, which record decides.

Made of the JSON document, so that both tell the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from letterlock.base.printable import make_printable
from letterlock.cli.story_text import tell

MAX_SHOWN = 10
"""Records of one name; the JSON document has all."""
MAX_RECORD_CHARACTERS = 200

_DECISIONS = {"allow": "allowed", "deny": "denied", "error": "undecided"}
_FOUND = {
    "nodata": "no CAA records",
    "nxdomain": "no such name",
}
_SURE = {
    "secure": "DNSSEC vouches for it",
    "insecure": "not vouched for by DNSSEC",
    "bogus": "bogus",
    "failed": "no answer",
}


def format_line(document: Mapping[str, Any]) -> str:
    """Tell it in one line."""
    name, decision = document["name"], _DECISIONS[document["decision"]]
    return make_printable(f"{decision:9} {name}: {document['reason']}")


def format_story(document: Mapping[str, Any]) -> Iterator[str]:
    """Tell the whole story of one name."""
    yield make_printable(f"{document['name']} by {_format_who(document)}")
    yield from tell("decision", f"{_DECISIONS[document['decision']]}: {document['reason']}")
    label = "asked"
    for lookup in document["lookups"]:
        yield from tell(label, _format_lookup(lookup))
        label = ""
    label = "records"
    for record in document["records"][:MAX_SHOWN]:
        yield from tell(label, _format_record(record))
        label = ""
    if (more := len(document["records"]) - MAX_SHOWN) > 0:
        yield from tell("", f"and {more} more")
    if document["remedy"]:
        yield from tell("to allow", f"publish {document['remedy']}")
    if document["cause"] == "unknown-limits":
        yield from tell("to decide", "tell who asks and how it is validated: --account, --method")
    if document["unsigned_zone"]:
        yield from tell(
            "note",
            "DNSSEC proves that the zone is not signed: an authority may go on after a failed "
            "lookup there (Baseline Requirements 3.2.2.8), and few do",
        )
    for note in document["notes"]:
        yield from tell("note", note)


def _format_who(document: Mapping[str, Any]) -> str:
    who = document["issuer"]
    if document["account"]:
        who += f", account {document['account']}"
    if document["method"]:
        who += f", by {document['method']}"
    return str(who)


def _format_lookup(lookup: Mapping[str, Any]) -> str:
    aliases = "".join(f", an alias of {target}" for target in lookup["aliases"])
    sure = _SURE[lookup["dnssec"]]
    if lookup["existence"] is None:
        return f"{lookup['name']}{aliases}: {sure}: {lookup['reason']}"
    count = lookup["records"]
    found = _FOUND.get(lookup["existence"], f"{count} record{'s' if count != 1 else ''}")
    return f"{lookup['name']}{aliases}: {found} ({sure}, TTL {lookup['ttl']})"


def _format_record(record: Mapping[str, Any]) -> str:
    text = f'{record["flags"]} {record["tag"]} "{record["value"]}"'
    if len(text) > MAX_RECORD_CHARACTERS:
        text = f"{text[:MAX_RECORD_CHARACTERS]}..."
    return f"{text}: {record['reason']}"
