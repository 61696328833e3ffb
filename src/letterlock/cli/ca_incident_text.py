"""How incidents are told: as JSON, and as lines."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from letterlock.node.ca.incident_commands import Standing

INCIDENT_KEYS = {
    "id": "what it is called",
    "state": "collecting, ready, enabled, ended or withdrawn",
    "why": "why, for everybody to read",
    "url": "where more stands",
    "renew_by": "when what is left is revoked",
    "reason": "for which reason (RFC 5280)",
    "chosen": "how its certificates were found",
    "created": "when it was made",
    "who": "by whom",
    "enabled": "when it was enabled, or null",
    "ended": "when it ended, or null",
    "affected": "how many certificates",
    "told": "of how many the account was told by mail",
    "replaced": "how many have a replacement (ARI)",
    "revoked": "how many are revoked",
    "expired": "how many ended before they were",
    "left": "how many are neither",
    "accounts": "how many accounts have them",
    "accounts_told": "how many of those were told by mail",
    "accounts_mute": "how many of those have no mail address",
}


def describe_standing(standing: "Standing") -> dict[str, Any]:
    """Give the JSON of an incident."""
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    incident, counts = standing.incident, standing.counts
    return {
        "id": incident.id,
        "state": incident.state.value,
        "why": incident.why,
        "url": incident.page,
        "renew_by": format_time(incident.renew_by),
        "reason": incident.reason.name.lower().replace("_", "-"),
        "chosen": incident.chosen,
        "created": format_time(incident.created),
        "who": incident.who,
        "enabled": format_time(incident.enabled) if incident.enabled else None,
        "ended": format_time(incident.ended) if incident.ended else None,
        "affected": counts.affected,
        "told": counts.told,
        "replaced": counts.replaced,
        "revoked": counts.revoked,
        "expired": counts.expired,
        "left": counts.left,
        "accounts": counts.accounts,
        "accounts_told": counts.accounts_told,
        "accounts_mute": counts.accounts_mute,
    }


def format_counts(found: dict[str, Any]) -> str:
    """Give one line of how far it is."""
    words = ("affected", "told", "replaced", "revoked", "left")
    line = ", ".join(f"{found[word]} {word}" for word in words)
    return f"{line}, {found['expired']} expired" if found["expired"] else line


def format_standing(found: dict[str, Any]) -> list[str]:
    """Give an incident for people."""
    mute = f", {found['accounts_mute']} without an address" if found["accounts_mute"] else ""
    return [
        f"{found['id']}  {found['state']}: {found['why']}",
        f"  {format_counts(found)}",
        f"  accounts told by mail: {found['accounts_told']} of {found['accounts']}{mute}",
        f"  renew by {found['renew_by']}, then revoked as {found['reason']}",
        f"  chosen: {found['chosen']}; created {found['created']} by {found['who']}",
        f"  {found['url']}",
    ]
