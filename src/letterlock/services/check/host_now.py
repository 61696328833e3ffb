"""What a check of a domain says now of a host that reports on TLS name, in one line.

Others choose what a report names. So the domain is checked, and what was found at its own MX hosts
is told; any other host is not asked, which is said.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

MAX_SAID = 3
"""Findings that the line has."""
_SEVERE = ("critical", "warning")
_UNASKED = ("blocked", "unreachable", "not tested")


@dataclass(frozen=True, slots=True)
class HostNow:
    """What there is now. `is_asked` False: it was not, or did not answer; `says` has the reason.

    `findings` are those of the document that are about it, the worst first.
    """

    is_asked: bool
    says: str
    findings: tuple[Document, ...] = ()
    addresses: tuple[Document, ...] = ()


def find_now(document: Document, host: str, renewed_here: Collection[str] = ()) -> HostNow:
    """Say what a check of the domain found at a host; "": at what the domain publishes.

    `renewed_here` are the hosts whose certificates this node gets.
    """
    if not host:
        return _find_published(document)
    host = host.rstrip(".").lower()
    known = {each["name"]: each for each in document["hosts"]}
    if host not in known:
        reason = document["no_route"] or f"it is no MX host of {document['domain']} now"
        return HostNow(is_asked=False, says=f"not asked: {reason}")
    found = [each for each in document["findings"] if _is_at(each["where"], host)]
    addresses = tuple(known[host]["addresses"])
    # Of what its clients meet: that it can't be reached is the reason, and no finding beside it.
    if not any(each["state"] not in _UNASKED for each in addresses):
        details = [each["detail"] for each in addresses if each["detail"]]
        reason = known[host]["error"] or "; ".join(dict.fromkeys(details)) or "it has no addresses"
        says = f"cannot be asked: {reason}"
        return HostNow(is_asked=False, says=says, findings=tuple(found), addresses=addresses)
    fix = f"run: letterlock cert renew {host}" if host in renewed_here else ""
    says = _say(found, fix) or "nothing is wrong with it now"
    return HostNow(is_asked=True, says=says, findings=tuple(found), addresses=addresses)


def _find_published(document: Document) -> HostNow:
    hosts = [each["name"] for each in document["hosts"]]
    found = [
        each
        for each in document["findings"]
        if not any(_is_at(each["where"], host) for host in hosts)
    ]
    says = _say(found, "") or "nothing is wrong with what is published now"
    if document["no_route"]:
        return HostNow(is_asked=False, says=f"cannot be asked: {document['no_route']}")
    return HostNow(is_asked=True, says=says, findings=tuple(found))


def _is_at(where: str, host: str) -> bool:
    return where == host or where.startswith((f"{host}[", f"{host} "))


def _say(found: Iterable[Document], renewing: str) -> str:
    """Name the worst: the same at several addresses is said once."""
    said: dict[tuple[str, str], str] = {}
    for each in found:
        if each["severity"] in _SEVERE:
            is_certificate = each["id"].startswith("certificate-expire")
            fix = (renewing if is_certificate else "") or each["fix"]
            text = f"{each['id']}: {each['evidence']}" + (f"; {fix}" if fix else "")
            said.setdefault((each["id"], each["evidence"]), text)
    more = f"; and {len(said) - MAX_SAID} more" if len(said) > MAX_SAID else ""
    return "; ".join(list(said.values())[:MAX_SAID]) + more
