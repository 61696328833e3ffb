"""What a configuration names and can't be used: files, users, cipher lists, database addresses.

All of it at once, each with its key; a node does not start with such a fault, and a reload leaves
the old configuration in use. What keeps only some mail waiting is apart (`find_waiting`).
"""

import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

from letterlock.base.config.faults import SettingFault, SettingFaults
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.outbound import PolicySection
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.network.key_pairs import load_key_pair
from letterlock.node.building import check_ciphers, find_mail_store
from letterlock.node.certificate_faults import find_certificate_faults
from letterlock.node.policy import load_policy
from letterlock.node.posts import find_keys
from letterlock.node.shared_database import find_database
from letterlock.protocols.policy.table import WrongEntry, parse_entry
from letterlock.services.deliver.anchors import AnchorFiles, AnchorsUnusable


def require_usable(config: Config) -> None:
    """Raise SettingFaults with all that keeps a node from starting."""
    if faults := find_faults(config):
        raise SettingFaults(faults)


def find_faults(config: Config) -> list[SettingFault]:
    """Find all that keeps a node from starting."""
    return [
        *_check_user(config.node.user),
        *_check_certificates(config),
        *find_certificate_faults(config),
        *_check(lambda: check_ciphers(config.tls)),
        *_check(lambda: find_database(config)),
        *_check(lambda: find_mail_store(config)),
        *_check(lambda: find_keys(config) if config.tlsrpt.posts.enabled else None),
    ]


def find_waiting(section: PolicySection) -> list[SettingFault]:
    """Find what keeps mail waiting, though the node runs: trust files, and entries of the table.

    Lines of the Postfix table have places of their own, see `node.policy`.
    """
    faults = []
    for index, file in enumerate(section.trust_files):
        anchors = AnchorFiles([file]).load()
        if isinstance(anchors, AnchorsUnusable):
            faults.append(SettingFault(("policy", "trust_files", index), anchors.reason))
    if (unreadable := load_policy(section).unreadable) is not None:
        message = f"{unreadable}; mail for all other next hops waits"
        faults.append(SettingFault(("policy", "postfix_table"), message))
    for hop in section.hops.values():
        entry = parse_entry(hop.key, hop.fields, hop.where)
        if isinstance(entry, WrongEntry):
            message = f"{entry.reason}; mail for {entry.key} waits"
            faults.append(SettingFault(("policy", "hops", hop.key), message))
    return faults


def _check_user(user: str | None) -> Iterator[SettingFault]:
    if user is not None:
        try:
            pwd.getpwnam(user)
        except KeyError:
            yield SettingFault(("node", "user"), f"there is no user {user!r}")


def _check_certificates(config: Config) -> Iterator[SettingFault]:
    for index, pair in enumerate(config.tls.certificates):
        place: KeyPath = ("tls", "certificates", index)
        keys = (*place, "certificate"), (*place, "key")
        yield from _check_pair(pair.certificate, pair.key, keys)
    certificate, key = config.deliver.client_certificate, config.deliver.client_key
    if certificate is not None and key is not None:
        keys = ("deliver", "client_certificate"), ("deliver", "client_key")
        yield from _check_pair(certificate, key, keys)


def _check_pair(
    certificate: Path, key: Path, keys: tuple[KeyPath, KeyPath]
) -> Iterator[SettingFault]:
    try:
        load_key_pair(certificate, key)
    except LocalError as error:
        # Its text begins with the file that is at fault; of both in one, the certificate is first.
        is_key = certificate != key and str(error).startswith(f"{key}:")
        yield SettingFault(keys[is_key], str(error))


def _check(check: Callable[[], object]) -> Iterator[SettingFault]:
    try:
        check()
    except SettingFaults as error:
        yield from error.faults
