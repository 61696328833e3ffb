"""Whether all authoritative servers have the same records, and for how long they are signed.

RFC 1034 §4.3.5 (zones are the same at all servers), RFC 7671 §13 (how long signatures last), RFC
4035 §5.3.1 (a signature that ended is worth nothing).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from letterlock.base.clock import format_time
from letterlock.services.discover.authorities import View
from letterlock.services.publish.findings import Code, Finding, error, note, warning
from letterlock.services.publish.observed import AtServers, Observed

SIGNATURE_MARGIN = timedelta(days=2)
"""Signers renew well before: less is left only where something stands still."""
LONG_SIGNATURE = timedelta(days=45)
"""Signers make them for a month at most, if not told otherwise."""
MAX_SHOWN = 3


def check_servers(observed: Observed, now: datetime) -> Iterator[Finding]:
    """Check every question that was asked of each server."""
    silent: dict[str, Finding] = {}
    for each in observed.at_servers:
        for view in each.published.views:
            if view.fault:
                text = f"the name server {view.server} does not say what it has: {view.fault}"
                fix = "have it serve the zone, or take it out of the NS records"
                finding = warning(Code.SERVER_SILENT, each.name, text, fix)
                silent.setdefault(str(view.server), finding)
        yield from _compare(each)
        yield from _check_signatures(each, now)
    yield from silent.values()


def _compare(asked: AtServers) -> Iterator[Finding]:
    said = [view for view in asked.published.views if not view.fault]
    if len({view.values for view in said}) < 2:
        return
    everything = frozenset[str]().union(*(view.values for view in said))
    lacking = [view for view in said if view.values != everything]
    where = ", ".join(str(view.server) for view in lacking[:MAX_SHOWN])
    more = f" and {len(lacking) - MAX_SHOWN} more" if len(lacking) > MAX_SHOWN else ""
    text = f"{asked.rdtype} records are not the same at all name servers: {where}{more} lack some"
    fix = f"wait until the change has reached them; {_explain(lacking[0], everything)}"
    yield warning(Code.SERVERS_DIFFER, asked.name, text, fix)


def _explain(view: View, everything: frozenset[str]) -> str:
    missing = min(everything - view.values)
    return f"{view.server} has not {missing[:80]!r}"


def _check_signatures(asked: AtServers, now: datetime) -> Iterator[Finding]:
    if not asked.signature_ends:
        return
    server, end = min(asked.signature_ends, key=lambda pair: pair[1])
    fix = "have the zone signed anew, and see that this server gets it"
    if end <= now:
        text = f"{asked.rdtype}: the signature at {server} ended at {format_time(end)}"
        yield error(Code.SIGNATURE_ENDS, asked.name, text, fix)
    elif end - now < SIGNATURE_MARGIN:
        text = f"{asked.rdtype}: the signature at {server} ends at {format_time(end)}"
        yield warning(Code.SIGNATURE_ENDS, asked.name, text, fix)
    elif asked.rdtype == "TLSA" and end - now > LONG_SIGNATURE:
        text = (
            f"TLSA: signed until {format_time(end)}; for so long a record can be shown to others "
            "after its key was lost"
        )
        yield note(Code.SIGNATURE_LONG, asked.name, text, "sign for two to four weeks")
