"""Keys that nobody gets a certificate for, from lists in files.

Baseline Requirements 6.1.1.3. Two kinds of list, one digest a line, `#` before comments: SHA-256 of
SubjectPublicKeyInfo for keys that are known to anybody, and the form of openssl-vulnkey(1) for the
RSA keys that Debian's OpenSSL made in 2006 to 2008. Blocks; a list of 260,000 takes a second.
"""

from collections.abc import Sequence
from pathlib import Path

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.issuance.subject_keys import (
    DEBIAN_DIGEST_OCTETS,
    SPKI_DIGEST_OCTETS,
    DigestList,
    KeyListError,
    parse_digest_list,
)

MAX_LIST_OCTETS = 256 * 1024 * 1024


def load_compromised_keys(paths: Sequence[Path]) -> DigestList:
    """Load lists of keys that are known. Raises LocalError, which names the file and the line."""
    return _load_all(paths, SPKI_DIGEST_OCTETS)


def load_debian_keys(paths: Sequence[Path]) -> DigestList:
    """Load lists as the package openssl-blacklist had them. Raises LocalError as above."""
    return _load_all(paths, DEBIAN_DIGEST_OCTETS)


def _load_all(paths: Sequence[Path], width: int) -> DigestList:
    lists = [_load(path, width) for path in paths]
    if len(lists) == 1:
        return lists[0]
    digests = {
        each.octets[start : start + width]
        for each in lists
        for start in range(0, len(each.octets), width)
    }
    return DigestList(b"".join(sorted(digests)), width)


def _load(path: Path, width: int) -> DigestList:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LIST_OCTETS + 1)
    except OSError as error:
        raise LocalError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_LIST_OCTETS:
        raise LocalError(f"{path}: larger than {MAX_LIST_OCTETS} octets")
    try:
        return parse_digest_list(content.decode("ascii", "replace"), width)
    except KeyListError as error:
        raise LocalError(f"{path}: {error}") from error
