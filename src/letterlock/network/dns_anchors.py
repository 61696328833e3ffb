"""The root's keys that are trusted, as DS records: from a file, or those of the Internet.

RFC 4035 §4.4 (trust anchors), RFC 5011 §2 (whoever keeps the file follows their changes). For what
explains a chain; libunbound reads the file by itself.
"""

import re
from pathlib import Path

import dns.exception
import dns.rdata
import dns.rdataclass
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS

from letterlock.base.errors import LocalError
from letterlock.protocols.dns.dnssec_records import ROOT, DsRecord, KeyRecord, make_ds

IANA = (
    DsRecord(
        20326,
        8,
        2,
        bytes.fromhex("E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"),
    ),
    DsRecord(
        38696,
        8,
        2,
        bytes.fromhex("683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"),
    ),
)
"""The root's keys of 2017 and 2024, by https://data.iana.org/root-anchors/root-anchors.xml."""

MAX_FILE_OCTETS = 65536

_LINE = re.compile(r"\s*\.\s+(?:\d+\s+)?(?:IN\s+)?(DS|DNSKEY)\s+([^;]+)", re.IGNORECASE)


def load_anchors(path: Path | None) -> tuple[DsRecord, ...]:
    """Load a file of DS or DNSKEY records of the root; None: those that are known here.

    Raises LocalError for a file that can't be used.
    """
    if path is None:
        return IANA
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_FILE_OCTETS)
    except OSError as error:
        raise LocalError(f"dns.trust_anchor: {path}: {error.strerror}") from None
    found = parse_anchors(text)
    if not found:
        raise LocalError(f"dns.trust_anchor: {path} has no DS or DNSKEY record of the root")
    return found


def parse_anchors(text: str) -> tuple[DsRecord, ...]:
    """Read the lines of the root's DS and DNSKEY records; others are passed over."""
    return tuple(ds for line in text.splitlines() if (ds := _find_ds(line)) is not None)


def _find_ds(line: str) -> DsRecord | None:
    match = _LINE.match(line)
    if match is None:
        return None
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, match[1].upper(), match[2])
    except (dns.exception.DNSException, ValueError):
        return None
    if isinstance(rdata, DS):
        return DsRecord(rdata.key_tag, int(rdata.algorithm), int(rdata.digest_type), rdata.digest)
    assert isinstance(rdata, DNSKEY)
    key = KeyRecord(int(rdata.flags), rdata.protocol, int(rdata.algorithm), rdata.key)
    return make_ds(ROOT, key) if key.is_usable else None
