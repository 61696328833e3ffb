"""A report on DNS records for people, made of the JSON document: findings first, then records."""

from collections.abc import Iterator, Mapping
from typing import Any

from letterlock.base.printable import make_printable
from letterlock.cli.story_text import tell

_VERDICTS = {
    "fine": "nothing is wrong",
    "faults": "see below",
    "undecidable": "nothing wrong was found, but some lookups were not answered",
}
_RENEWALS = {
    "same-key": "renewed with the same key",
    "next-key": "renewed with the next key",
    "new-key": "renewed with a new key",
    "new-issuer": "renewed by another intermediate",
}
_FATES = {
    "kept": "mail with DANE still comes",
    "open": "mail with DANE comes if the new chain leads to the same authority",
    "lost": "mail with DANE stops coming",
}
_SHOWN_DIGITS = 16


def format_report(document: Mapping[str, Any]) -> Iterator[str]:
    """Tell it all."""
    yield f"DNS of {document['domain']}"
    counts = [
        f"{count} {severity}{'s' if count > 1 else ''}"
        for severity in ("error", "warning", "note")
        if (count := sum(each["severity"] == severity for each in document["findings"]))
    ]
    yield from tell("verdict", ", ".join(counts) or _VERDICTS[document["verdict"]])
    resolver = document["resolver"]
    yield from tell("resolver", f"{resolver['address']}; {resolver['reason']}")
    for finding in document["findings"]:
        yield ""
        yield from _format_finding(finding)
    if document["records"]:
        yield ""
        yield "Records"
        for record in document["records"]:
            yield from _format_record(record)
    for renewal in document["renewals"]:
        yield ""
        yield from _format_renewal(renewal)
    if document["undecided"] or document["notes"]:
        yield ""
    for text in document["undecided"]:
        yield from tell("no answer", text)
    for text in document["notes"]:
        yield from tell("note", text)


def _format_finding(finding: Mapping[str, Any]) -> Iterator[str]:
    yield f"{finding['severity']}: {finding['name']} ({finding['code']})"
    yield from tell("what", finding["text"])
    if finding["fix"]:
        # Lines to paste stay in one piece.
        yield f"  {'do':11}{make_printable(finding['fix'])}"


def _format_record(record: Mapping[str, Any]) -> Iterator[str]:
    line = f"{record['name']}. {record['type']} {record['value']}"
    yield f"  {record['state']:11}{make_printable(line)}"
    if record["state"] == "differs":
        for value in record["found"]:
            yield f"  {'there is':11}{make_printable(value)}"


def _format_renewal(renewal: Mapping[str, Any]) -> Iterator[str]:
    if all(each["matches"] is None for each in renewal["records"]):
        yield f"No TLSA record matches the certificate of {renewal['host']} now."
        return
    yield f"What if the certificate of {renewal['host']} is"
    for name, fate in renewal["outcomes"].items():
        matching = [
            _shorten(each["record"]) for each in renewal["records"] if each["fates"][name] != "lost"
        ]
        by = f" ({', '.join(matching)})" if matching else ""
        yield f"  {_RENEWALS[name]}: {_FATES[fate]}{by}"


def _shorten(record: str) -> str:
    *kind, digits = record.split()
    return f"{' '.join(kind)} {digits[:_SHOWN_DIGITS]}..."
