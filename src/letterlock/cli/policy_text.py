"""An explanation for people: what was asked, how sure the answers are, what follows, what not.

Made of the JSON document, so that both tell the same. One screen for a domain with few hosts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from letterlock.cli.story_text import LABEL_WIDTH, format_handshake, format_verdict, tell

_SURE = {
    "secure": "signed, and DNSSEC vouches for it",
    "insecure": "not vouched for by DNSSEC",
    "bogus": "bogus: DNSSEC says it is forged or broken",
    "failed": "no answer",
    None: "not looked up",
}
_TLSA = {
    "usable": "DNSSEC vouches for them",
    "unusable": "DNSSEC vouches for them, and none can be used: TLS is a must, without proof",
    "none": "none, and DNSSEC vouches for that",
    "insecure": "without DNSSEC they mean nothing",
    "failed": "they could not be looked up, and there may be some",
}
_DECISIONS = {
    "deliver": "a message could go",
    "defer": "a message would wait",
    "bounce": "a message would be returned",
    "undecidable": "nobody answered",
}
_TRUST = "a certificate that leads to no trusted authority, or is not for {names}"
_REFUSED = {
    "none": "nothing; TLS is not tried",
    "may": "nothing: whatever its TLS is worth, and in clear where it has none",
    "encrypt": "a host without TLS",
    "fingerprint": "a host without TLS; a certificate with another fingerprint",
    "dane": "a host without TLS; a certificate that matches no usable TLSA record",
    "dane-only": "a host without TLS; a certificate that matches no usable TLSA record",
    "verify": f"a host without TLS; {_TRUST}",
    "secure": f"a host without TLS; {_TRUST}",
}
MAX_SHOWN = 6
"""Records and patterns shown of one kind; the JSON document has all."""
MAX_RECORD_CHARACTERS = 40


def format_explanation(document: Mapping[str, Any]) -> Iterator[str]:
    """Tell the story: the domain, and then each host."""
    yield f"Mail for {document['domain']}"
    decision = document["decision"]
    yield from tell("decision", f"{decision}: {_DECISIONS[decision]}{_find_condition(document)}")
    if not document["hosts"]:
        yield from tell("", document["reason"])
    if document["next_hop"] not in (None, document["domain"]):
        by = document["way"]["where"] or "as it is configured here"
        yield from tell("goes to", f"{document['next_hop']}, {by}")
    resolver = document["resolver"]
    yield from tell("resolver", f"{resolver['address']}; {resolver['reason']}")
    if document["next_hop"] is not None:
        yield from tell("MX", _SURE[document["mx_status"]])
        yield from _format_aliases(document["mx_aliases"])
        yield from _format_mta_sts(document["mta_sts"])
        yield from _format_tlsrpt(document["tlsrpt"])
    for note in document["notes"]:
        yield from tell("note", note)
    for host in document["hosts"]:
        yield ""
        yield from _format_host(host)
    if "log" in document:
        yield ""
        yield from _format_log(document["log"])


def _find_condition(document: Mapping[str, Any]) -> str:
    """Say which host decides where one does, and what it still depends on."""
    fates = {host["name"]: host["decision"] for host in document["hosts"]}
    name = next((name for name, fate in fates.items() if fate == "deliver"), None)
    if document["decision"] != "deliver" or name is None:
        return ""
    addresses = [address for host in document["hosts"] for address in host["addresses"]]
    is_tried = any(address["trial"] is not None for address in addresses)
    return f" to {name}" if is_tried else f" to {name}, if it shows what it must"


def _format_aliases(aliases: list[Mapping[str, str]]) -> Iterator[str]:
    for link in aliases:
        yield from tell("alias", f"{link['name']} of {link['target']}, {_SURE[link['status']]}")


def _format_mta_sts(mta_sts: Mapping[str, Any] | None) -> Iterator[str]:
    if mta_sts is None:
        yield from tell("MTA-STS", "no record")
        return
    if mta_sts["mode"] is None:
        yield from tell("MTA-STS", "no policy holds")
    else:
        patterns = _shorten(mta_sts["mx"]) or "no host"
        text = f"mode {mta_sts['mode']} for {patterns}"
        yield from tell(
            "MTA-STS", f"{text}; fetched {mta_sts['fetched']}, holds until {mta_sts['expires']}"
        )
    if mta_sts["record"]:
        yield from tell("", f"record {mta_sts['record']}")
    if mta_sts["error"]:
        result = f" ({mta_sts['result_type']})" if mta_sts["result_type"] else ""
        yield from tell("", f"trouble{result}: {mta_sts['error']}")


def _format_tlsrpt(tlsrpt: Mapping[str, Any] | None) -> Iterator[str]:
    if tlsrpt is None:
        yield from tell("reports", "not wanted: no record")
        return
    if tlsrpt["rua"]:
        yield from tell("reports", f"to {', '.join(tlsrpt['rua'])}")
    if tlsrpt["error"]:
        yield from tell("" if tlsrpt["rua"] else "reports", f"trouble: {tlsrpt['error']}")


def _format_host(host: Mapping[str, Any]) -> Iterator[str]:
    yield f"{host['name']} (preference {host['preference']})"
    yield from _format_aliases(host["aliases"])
    for number, address in enumerate(host["addresses"]):
        text = f"{address['ip']}, {_SURE[address['status']]}"
        yield from tell("" if number else "address", text)
    if not host["addresses"]:
        yield from tell("address", f"none: {host['reason']}")
        return
    yield from _format_tlsa(host)
    yield from _format_required(host["requirement"])
    yield from _format_trials(host)


def _format_trials(host: Mapping[str, Any]) -> Iterator[str]:
    """Tell of each address; what the one has shown that decides, in full."""
    trials = {each["ip"]: each["trial"] for each in host["addresses"] if each["trial"]}
    handshake, verdict = host["handshake"], host["verdict"]
    for number, (ip, trial) in enumerate(trials.items()):
        is_told_below = verdict is not None and trial["reason"] == verdict["reason"]
        reason = "" if is_told_below else f": {trial['reason']}"
        yield from tell("" if number else "tried", f"{ip}: {trial['decision']}{reason}")
    if handshake is not None and verdict is not None:
        # Most are in the verdict's words already.
        told = verdict["reason"]
        untold = [error for error in handshake["errors"] if error["text"] not in told]
        handshake = {**handshake, "errors": untold}
    yield from format_handshake(handshake)
    yield from format_verdict(verdict)


def _format_tlsa(host: Mapping[str, Any]) -> Iterator[str]:
    status = host["tlsa_status"]
    if status is None:
        yield from tell("TLSA", "not looked up")
        return
    records = host["tlsa"]
    count = f"{len(records)} at {host['tlsa_base']}: " if records else ""
    is_clear = records or status == "none" or not host["tlsa_reason"]
    reason = "" if is_clear else f" ({host['tlsa_reason']})"
    yield from tell("TLSA", f"{count}{_TLSA[status]}{reason}")
    for record in records[:MAX_SHOWN]:
        why = "" if record["usable"] else f": not usable: {record['why']}"
        yield from tell("", f"{_cut(record['record'])}{why}")
    if len(records) > MAX_SHOWN:
        yield from tell("", f"and {len(records) - MAX_SHOWN} more")


def _format_required(requirement: Mapping[str, Any]) -> Iterator[str]:
    if not requirement["usable"]:
        yield from tell("not usable", requirement["reason"])
        yield from tell("refused", "every message, now")
        return
    yield from tell("required", f"{requirement['level']}, by {requirement['reason']}")
    sni = f"SNI {requirement['sni'] or 'none'}, {requirement['min_version']} or later"
    yield from tell("", sni)
    names = " or ".join(requirement["names"]) or "it"
    refused = _REFUSED[requirement["level"]].format(names=names)
    if "mta-sts" in requirement["sources"] and requirement["level"] not in ("verify", "secure"):
        refused += f"; {_TRUST.format(names='the host')}"
    yield from tell("refused", refused)


def _format_log(log: Mapping[str, Any]) -> Iterator[str]:
    yield f"The log {log['file']}"
    if not log["deliveries"]:
        yield from tell("deliveries", "none to this domain")
        return
    counts = ", ".join(f"{count} {status}" for status, count in log["deliveries"].items())
    yield from tell("deliveries", counts)
    words = ", ".join(f"{count} {word}" for word, count in log["tls"].items())
    yield from tell("TLS", words or "none with TLS")
    yield from tell("why", ", ".join(f"{count} {cause}" for cause, count in log["causes"].items()))
    for key, label in (("last", "last"), ("last_trouble", "trouble")):
        if (shown := log[key]) is not None and (key == "last" or shown != log["last"]):
            text = f"{shown['time']} {shown['relay']}: {shown['status']}: {shown['reason']}"
            yield from tell(label, text)


def _shorten(texts: list[str]) -> str:
    more = f" and {len(texts) - MAX_SHOWN} more" if len(texts) > MAX_SHOWN else ""
    return ", ".join(texts[:MAX_SHOWN]) + more


def _cut(record: str) -> str:
    return (
        record if len(record) <= MAX_RECORD_CHARACTERS else f"{record[:MAX_RECORD_CHARACTERS]}..."
    )


def find_label(line: str) -> int:
    """Say how many characters at a line's beginning are its label; all, where it is a heading."""
    return len(line) if not line.startswith(" ") else LABEL_WIDTH + 2
