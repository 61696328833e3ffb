"""Certificates in files: PEM or DER, one or several."""

import os
from collections.abc import Iterable, Iterator

from letterlock.base.printable import make_printable
from letterlock.protocols.pki.bundles import read_bundle
from letterlock.protocols.pki.certificate import Unreadable
from letterlock.services.incidents.findings import NotAsked, Shown

MAX_FILE_OCTETS = 16 * 1024 * 1024


def read_files(paths: Iterable[str]) -> Iterator[Shown | NotAsked]:
    """Give what is in each file; `FILE#2` is the second certificate of several."""
    for path in paths:
        name = make_printable(os.fsencode(path).decode("utf-8", "replace"))
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - the name as it was given
                octets = file.read(MAX_FILE_OCTETS + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            yield NotAsked(name, f"cannot be read: {reason}")
            continue
        if len(octets) > MAX_FILE_OCTETS:
            yield NotAsked(name, f"a file of more than {MAX_FILE_OCTETS} octets")
            continue
        found = read_bundle(octets)
        for number, each in enumerate(found, 1):
            source = name if len(found) == 1 else f"{name}#{number}"
            if isinstance(each, Unreadable):
                yield NotAsked(source, each.reason)
            else:
                yield Shown(source, each)
