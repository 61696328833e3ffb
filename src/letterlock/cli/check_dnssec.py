"""`letterlock check --dnssec`: the option, its keys in the JSON, and how chains are told."""

from collections.abc import Iterator

import click

from letterlock.cli.options import Decorated
from letterlock.cli.story_text import Document, tell

_ZONE, _RECORD = "dnssec.zones[]", "dnssec.records[]"
_BROKEN = {
    "cause": "why its chain ends there, in a word that stays; null: it does not",
    "evidence": "the same in one line, or null",
    "who": "who can mend it: registrar, dns-operator or resolver; or null",
    "fix": "what to do, with the record to publish; or null",
}
CHAIN_KEYS = {
    "dnssec.zones": "the zones from the root on that its names are in; null without --dnssec",
    f"{_ZONE}.zone": "a zone, `.` is the root",
    f"{_ZONE}.parent": "the zone above it, or null",
    f"{_ZONE}.status": "secure, insecure, bogus, or undecided (nobody knows)",
    **{f"{_ZONE}.{key}": text for key, text in _BROKEN.items()},
    f"{_ZONE}.ds[]": "a DS record of it, as in a zone file; of the root what is trusted here",
    f"{_ZONE}.keys[].tag": "of a key of it",
    f"{_ZONE}.keys[].algorithm": "its number",
    f"{_ZONE}.keys[].entry_point": "whether it is meant to be named by a DS record",
    f"{_ZONE}.keys[].ds": "the DS record that names it",
    f"{_ZONE}.until": "until when its keys are signed, or null",
    "dnssec.records": "what the domain's mail rests on, aliases followed; null without --dnssec",
    f"{_RECORD}.name": "a name",
    f"{_RECORD}.type": "the type that was asked for",
    f"{_RECORD}.zone": "the zone that it is in; where a chain ends above it, that one",
    f"{_RECORD}.status": "as of a zone",
    f"{_RECORD}.outcome": "records, alias, nodata, nxdomain or failed",
    f"{_RECORD}.alias": "where an alias leads, or null",
    **{f"{_RECORD}.{key}": text for key, text in _BROKEN.items()},
    f"{_RECORD}.until": "until when it is signed, or null",
    f"{_RECORD}.resolver": "what the resolver makes of it, or failed; null: it was not asked",
    f"{_RECORD}.resolver_reason": "why, as it says, or null",
}


def dnssec_option(command: Decorated) -> Decorated:
    """Add `--dnssec`."""
    option = click.option(
        "--dnssec",
        "is_dnssec",
        is_flag=True,
        help="Follow DNSSEC from the root to each name: where its chain ends, why, and who can "
        "mend it.",
    )
    return option(command)


def tell_chains(document: Document) -> Iterator[str]:
    """Tell of each zone from the root on, then of each name; nothing without `--dnssec`."""
    for number, (what, text) in enumerate(_list_parts(document)):
        yield from tell("" if number else "chain", f"{what}: {text}")


def list_chain_rows(document: Document) -> list[tuple[str, str]]:
    """List rows of a table: what, and what DNSSEC makes of it."""
    return list(_list_parts(document))


def _list_parts(document: Document) -> Iterator[tuple[str, str]]:
    # A run that goes on (`--resume`) may have documents of a release before, without these.
    dnssec = document.get("dnssec") or {}
    for zone in dnssec.get("zones") or ():
        name = "the root" if zone["zone"] == "." else f"zone {zone['zone']}"
        yield name, _describe(zone)
    for record in dnssec.get("records") or ():
        text = _describe(record)
        if record["alias"]:
            text += f", leads to {record['alias']}"
        elif record["outcome"] in ("nodata", "nxdomain"):
            text += ", there are none"
        if record["resolver"] not in (None, record["status"]):
            text += f"; the resolver: {record['resolver']}"
        yield f"{record['type']} of {record['name']}", text


def _describe(state: Document) -> str:
    if state["cause"]:
        return f"{_WORDS.get(state['status'], state['status'])} ({state['cause']})"
    return f"{state['status']} until {state['until']}" if state["until"] else f"{state['status']}"


_WORDS = {"bogus": "BOGUS"}
