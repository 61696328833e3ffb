"""What `letterlock check` tells people of renewals, CAA, revocation and signatures.

Findings say what is wrong; these lines say what is known, also when all is well.
"""

from collections.abc import Iterator, Mapping, Sequence

from letterlock.cli.check_dnssec import tell_chains
from letterlock.cli.story_text import Document, tell

_SHOWN = 3


def tell_besides(document: Document) -> Iterator[str]:
    """Tell of CAA, revocation and signatures, in a line each where there is something to tell."""
    rights = [f"{each['name']}: {_WORDS[each['decision']]}" for each in document["caa"]]
    if rights:
        yield from tell("renewal", _join(rights))
    states = [f"{each['host']}: {each['state']}" for each in document["revocation"]]
    if states:
        yield from tell("revocation", _join(dict.fromkeys(states)))
    nearest = document["dnssec"]["nearest"]
    if nearest is not None:
        text = f"until {nearest['ends']}, {nearest['type']} of {nearest['name']} first"
        yield from tell("signed", text)
    names = document["dnssec"].get("names", ())
    others = [f"{each['type']} of {each['name']}" for each in names if each["status"] == "insecure"]
    if others:
        yield from tell("not signed", _join(others))
    unknown = [each for each in names if each["status"] in ("bogus", "undecided")]
    if unknown:
        texts = [f"{each['type']} of {each['name']}: {each['status']}" for each in unknown]
        yield from tell("dnssec", _join(texts))
    yield from tell_chains(document)


def tell_renewal(host: Document) -> Iterator[str]:
    """Tell what the next certificate does to a host's TLSA records, and what is not published.

    A run that goes on (`--resume`) may have documents of a release before, without these.
    """
    cases = [
        f"{_CASES[each['case']]} {_FATES[each['outcome']]}" for each in host.get("renewal", ())
    ]
    if cases:
        yield from tell("", f"if it renews: {', '.join(cases)}")
    if not host["tlsa"] and host.get("tlsa_missing"):
        yield from tell("", f"for DANE publish: {_join(host['tlsa_missing'])}")


def list_renewal_rows(host: Document) -> Iterator[tuple[str, str, str, str]]:
    """Give rows for each way its certificate may be renewed: host, way, what follows, records.

    The host stands in its first row alone.
    """
    rows = [
        (_CASES[each["case"]], _FATES[each["outcome"]], [*each["matches"], *each["open"]])
        for each in host.get("renewal", ())
    ]
    if missing := host.get("tlsa_missing"):
        wait = host.get("tlsa_wait")
        what = "before it is needed" if wait is None else f"{wait} seconds before it is needed"
        rows.append(("for its key publish", what, missing))
    for number, (way, what, records) in enumerate(rows):
        yield ("" if number else host["name"] or "the domain itself"), way, what, "; ".join(records)


_CASES = {
    "same-key": "with the same key",
    "next-key": "with the next key",
    "new-key": "with any other key",
    "new-issuer": "by another intermediate",
}
_FATES = {"kept": "a record matches", "open": "one may match", "lost": "NONE matches"}
_WORDS = {
    "allow": "CAA allows it",
    "deny": "CAA FORBIDS it",
    "error": "CAA leaves it open",
    "not told": "CAA: not told, the issuer is not known here",
}


def _join(texts: Sequence[str] | Mapping[str, None]) -> str:
    shown = list(texts)[:_SHOWN]
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(shown) + more
