"""A commit: its changes in their order, then its log."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from letterlock.protocols.audit.records import AuditEntry
from letterlock.storage.ca import audits as audit
from letterlock.storage.ca import changes as to
from letterlock.storage.ca import external_keys as external
from letterlock.storage.ca import incidents as incident
from letterlock.storage.ca.scripts import (
    audits,
    certificates,
    external_keys,
    incidents,
    limits,
    orders,
    revocations,
    work,
)
from letterlock.storage.ca.scripts.auditing import append_entries
from letterlock.storage.ca.scripts.script import Script

SCRIPTS: Mapping[type[Any], Callable[[Any], Script[None]]] = {
    to.AddAccount: orders.add_account,
    to.ChangeAccount: orders.change_account,
    to.AddAuthorization: orders.add_authorization,
    to.ChangeAuthorization: orders.change_authorization,
    to.AddOrder: orders.add_order,
    to.ChangeOrder: orders.change_order,
    to.AddWork: work.add_work,
    to.EndWork: work.end_work,
    to.PutOffWork: work.put_off_work,
    to.ProlongLease: work.prolong_lease,
    to.AddSerial: certificates.add_serial,
    to.AddCertificate: certificates.add_certificate,
    to.ChangeCertificate: certificates.change_certificate,
    to.AddRevocation: revocations.add_revocation,
    to.ChangeRevocation: revocations.change_revocation,
    to.PutCrl: revocations.put_crl,
    to.BlockKey: revocations.block_key,
    to.UseCounter: limits.use_counter,
    to.ChangeCounter: limits.change_counter,
    to.AddPause: limits.add_pause,
    to.RemovePause: limits.remove_pause,
    to.RemoveSecret: limits.remove_secret,
    to.ChangeHalt: limits.change_halt,
    incident.AddIncident: incidents.add_incident,
    incident.ChangeIncident: incidents.change_incident,
    incident.AddAffected: incidents.add_affected,
    incident.MarkTold: incidents.mark_told,
    incident.ChangeAffected: incidents.change_affected,
    audit.ChangeProgress: audits.change_progress,
    audit.AddHead: audits.add_head,
    external.ChangeExternalKey: external_keys.change_external_key,
}
"""One for each type of change; a test compares them."""


def commit(changes: Sequence[to.Change], entries: Sequence[AuditEntry]) -> Script[None]:
    """Do changes, and log. Raises Refused in the middle: the engine takes back what was done.

    Nobody else may commit at the same time: what a script finds is so until it ends.
    """
    for each in changes:
        yield from SCRIPTS[type(each)](each)
    if entries:
        yield from append_entries(entries)
