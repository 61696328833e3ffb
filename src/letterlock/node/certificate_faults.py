"""What the settings of our own certificates name and can't be used.

Keys and groups keep a node from starting: it could not be what it is set to be. Folders and
programs may come later, and only one certificate or one export waits for them: `config check` tells
of them, and the log when they are wanted.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from letterlock.base.clock import SystemClock
from letterlock.base.config.certificates import CertificatesSection
from letterlock.base.config.choices import ChallengeKind
from letterlock.base.config.faults import SettingFault, SettingFaults
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.certificates import find_group
from letterlock.node.certifying import load_external
from letterlock.node.dns_changes import SECTION, make_changer
from letterlock.protocols.dns.answers import Answer
from letterlock.services.deliver.anchors import AnchorFiles, AnchorsUnusable
from letterlock.services.discover.authorities import AuthorityFinder


def find_certificate_faults(config: Config) -> list[SettingFault]:
    """Find all that keeps a node from starting."""
    section = config.certificates
    if not section.authorities:
        return []
    changes = config.dns_changes
    finder = AuthorityFinder(_Nobody(), changes.port)
    return [
        *(
            fault
            for index, authority in enumerate(section.authorities)
            for fault in _check(lambda: load_external(index, authority))  # noqa: B023 - called at once
        ),
        *_check(lambda: make_changer(changes, finder, SystemClock())),
        *(
            fault
            for index, export in enumerate(section.export)
            for fault in _check(lambda: find_group(index, export.group))  # noqa: B023 - as above
        ),
    ]


def find_waiting_certificates(config: Config) -> Iterator[SettingFault]:
    """Find what keeps only some certificate or export waiting, though the node runs."""
    section = config.certificates
    for index, authority in enumerate(section.authorities):
        if authority.trust_file is not None:
            anchors = AnchorFiles([authority.trust_file]).load()
            if isinstance(anchors, AnchorsUnusable):
                key = ("certificates", "authorities", index, "trust_file")
                yield SettingFault(key, anchors.reason)
    if section.authorities:
        yield from _check_places(section)
        hook = config.dns_changes.hook
        if hook is not None and (fault := _find_program_fault(hook)):
            yield SettingFault((SECTION, "hook"), fault)


def _check_places(section: CertificatesSection) -> Iterator[SettingFault]:
    is_served = ChallengeKind.HTTP in section.challenges
    webroot = section.webroot if is_served else None
    if webroot is not None and (fault := _find_folder_fault(webroot)):
        yield SettingFault(("certificates", "webroot"), fault)
    for index, export in enumerate(section.export):
        if (fault := _find_folder_fault(_find_existing(export.folder))) is not None:
            yield SettingFault(("certificates", "export", index, "folder"), fault)
        if export.hook is not None and (fault := _find_program_fault(export.hook)):
            yield SettingFault(("certificates", "export", index, "hook"), fault)


def _find_existing(folder: Path) -> Path:
    """Find the folder in which others are made until it is there."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _find_folder_fault(folder: Path) -> str | None:
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not is_folder:
        return f"{folder}: not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder}: this user may not write there"
    return None


def _find_program_fault(program: Path) -> str | None:
    try:
        is_file = stat.S_ISREG(program.stat().st_mode)
    except OSError as error:
        return f"{program}: {error.strerror}"
    if not is_file or not os.access(program, os.X_OK):
        return f"{program}: not a program that this user may run; is it executable?"
    return None


class _Nobody:
    """Where DNS is not asked."""

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        raise AssertionError(f"{rdtype} of {name} was asked for, only to look at settings")


def _check(check: Callable[[], object]) -> Iterator[SettingFault]:
    try:
        check()
    except SettingFaults as error:
        yield from error.faults
