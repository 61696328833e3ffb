"""Ask a resolver for all that a chain of trust is made of, and verify its signatures.

RFC 4035 §3.2.1 (DO), §3.2.2 (CD: what does not validate is given out as well), §5.3.3 (verifying,
by dnspython and cryptography), RFC 8914 (why there is no answer). What is verified here explains a
chain to people, and decides no delivery. How much is tried is bounded: whoever makes a zone may put
any number of keys with one tag into it.
"""

import asyncio
import contextlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import dns.dnssec
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset

from letterlock.base.printable import make_printable
from letterlock.network.dns_exchange import exchange_tcp, exchange_udp, explain_os_error
from letterlock.network.rrsets import find_rrset
from letterlock.protocols.dns.chain_links import Denial, Link, Outcome, Proof, SignatureSeen
from letterlock.protocols.dns.denial import Labels, Nsec, Nsec3, TypeBitmap
from letterlock.protocols.dns.dnssec_records import ALGORITHMS, ROOT, DsRecord, KeyRecord
from letterlock.protocols.dns.extended_errors import format_extended_error

ASK_SECONDS = 5.0
ATTEMPTS = 2
"""A datagram may be lost."""
MAX_RECORDS = 32
"""DNSKEY or DS records that are looked at of one answer."""
MAX_SIGNATURES = 16
"""Of one set of records."""
MAX_DENIALS = 8
MAX_TRIES = 32
"""Signatures verified for one answer: each pair of key and signature is one."""
MAX_KEY_OCTETS = 520
"""RSA keys of 4096 bits; longer ones cost whoever verifies (RFC 3110 §4 allows no longer)."""
MAX_TEXT = 200

_SIGNATURE, _NSEC, _NSEC3 = (dns.rdatatype.from_text(each) for each in ("RRSIG", "NSEC", "NSEC3"))
_DNAME, _CNAME = dns.rdatatype.from_text("DNAME"), dns.rdatatype.from_text("CNAME")
_NSEC3_SHA1 = 1
_OPT_OUT = 1
_HASH_DIGITS = 32
_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUV"


async def ask_link(
    server: tuple[str, int], name: str, rdtype: str, seconds: float = ASK_SECONDS
) -> bytes | str:
    """Ask for records with all that DNSSEC has of them; gives the message for `parse_link`.

    Text says in one line why there is none.
    """
    try:
        query = dns.message.make_query(
            name.rstrip(".") + ".", rdtype, want_dnssec=True, flags=dns.flags.RD | dns.flags.CD
        )
        for _ in range(ATTEMPTS):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await _exchange(server, query) or "no answer that can be read"
    except dns.exception.DNSException as error:
        return f"it can't be asked for: {error}"
    except EOFError:
        return "the resolver ended the connection without an answer"
    except OSError as error:
        return f"the resolver can't be reached: {explain_os_error(error)}"
    return f"no answer within {ATTEMPTS} times {seconds:g} seconds"


def parse_link(
    octets: bytes, name: str, rdtype: str, zone: str = ROOT, keys: Sequence[KeyRecord] = ()
) -> Link:
    """Read an answer, and verify its signatures by the keys of a zone.

    An answer for DNSKEY records is verified by the keys in it. What can't be read has FAILED.
    """
    message = _find_message(octets)
    if message is None:
        return Link(name, rdtype, Outcome.FAILED, reason="a malformed answer")
    if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Link(name, rdtype, Outcome.FAILED, reason=_explain(message))
    owner, kind = dns.name.from_text(name), dns.rdatatype.from_text(rdtype)
    found = find_rrset(message.answer, owner, kind)
    own = _list_keys(found) if rdtype == "DNSKEY" else tuple(keys)
    verifying = _Verifying(dns.name.from_text(zone), own, MAX_TRIES)
    if found is not None:
        return Link(
            name,
            rdtype,
            Outcome.RECORDS,
            verifying.verify(message.answer, found),
            keys=own if rdtype == "DNSKEY" else (),
            ds=_list_ds(found) if rdtype == "DS" else (),
            denials=verifying.list_denials(message),
        )
    alias = find_rrset(message.answer, owner, _CNAME)
    if alias is not None:
        return Link(
            name,
            rdtype,
            Outcome.ALIAS,
            verifying.verify_alias(message.answer, alias),
            alias=_show(alias[0].target),
            denials=verifying.list_denials(message),
        )
    outcome = Outcome.NXDOMAIN if message.rcode() == dns.rcode.NXDOMAIN else Outcome.NODATA
    return Link(name, rdtype, outcome, denials=verifying.list_denials(message))


@dataclass(slots=True)
class _Verifying:
    """Verifies by the keys of one zone, so and so many times."""

    zone: dns.name.Name
    keys: tuple[KeyRecord, ...]
    left: int

    def verify(
        self, section: list[dns.rrset.RRset], rrset: dns.rrset.RRset
    ) -> tuple[SignatureSeen, ...]:
        signatures = find_rrset(section, rrset.name, _SIGNATURE, rrset.rdtype) or ()
        return tuple(
            SignatureSeen(
                zone=_show(each.signer),
                tag=each.key_tag,
                algorithm=int(each.algorithm),
                labels=each.labels,
                begins=datetime.fromtimestamp(each.inception, UTC),
                ends=datetime.fromtimestamp(each.expiration, UTC),
                proof=self._verify_one(rrset, each),
            )
            for each in islice(signatures, MAX_SIGNATURES)
        )

    def verify_alias(
        self, section: list[dns.rrset.RRset], alias: dns.rrset.RRset
    ) -> tuple[SignatureSeen, ...]:
        """Verify an alias, or the DNAME that it was made from (RFC 6672 §5.3.1)."""
        signatures = self.verify(section, alias)
        for rrset in section if not signatures else ():
            if rrset.rdtype != _DNAME or not alias.name.is_subdomain(rrset.name):
                continue
            relative = alias.name.relativize(rrset.name)
            if relative.derelativize(rrset[0].target) == alias[0].target:
                return self.verify(section, rrset)
        return signatures

    def list_denials(self, message: dns.message.Message) -> tuple[Denial, ...]:
        """List what denies something, of names in the zone."""
        found = (
            Denial(record, self.verify(message.authority, rrset))
            for rrset in message.authority
            if rrset.rdtype in (_NSEC, _NSEC3) and rrset.name.is_subdomain(self.zone)
            if (record := _find_denial(rrset)) is not None
        )
        return tuple(islice(found, MAX_DENIALS))

    def _verify_one(self, rrset: dns.rrset.RRset, signature: Any) -> Proof:
        if signature.algorithm not in ALGORITHMS:
            return Proof.UNSUPPORTED
        keys = [
            each
            for each in self.keys
            if (each.tag, each.algorithm) == (signature.key_tag, int(signature.algorithm))
        ]
        if signature.signer != self.zone or not keys:
            return Proof.NO_KEY
        for key in keys:
            if self.left <= 0:
                return Proof.NOT_TRIED
            self.left -= 1
            if len(key.key) <= MAX_KEY_OCTETS and _is_good(rrset, signature, key):
                return Proof.GOOD
        return Proof.WRONG


def _is_good(rrset: dns.rrset.RRset, signature: Any, key: KeyRecord) -> bool:
    rdata = key.rdata
    try:
        made = dns.rdata.from_wire(
            dns.rdataclass.IN, dns.rdatatype.DNSKEY, rdata, 0, len(rdata), None
        )
        keys: dict[dns.name.Name, dns.node.Node | dns.rdataset.Rdataset] = {
            signature.signer: dns.rdataset.from_rdata(0, made)
        }
        # Whether it is its time is told apart: then what is over can be told from what is wrong.
        dns.dnssec.validate_rrsig(
            rrset,
            signature,
            keys,
            now=min(signature.inception, signature.expiration),
            policy=dns.dnssec.allow_all_policy,
        )
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        return False
    return True


async def _exchange(server: tuple[str, int], query: dns.message.Message) -> bytes | None:
    wire = query.to_wire()

    def read(octets: bytes) -> bytes | None:
        reply = _find_message(octets)
        return octets if reply is not None and query.is_response(reply) else None

    found: bytes | None = await exchange_udp(server, wire, read)
    message = _find_message(found) if found is not None else None
    if message is not None and message.flags & dns.flags.TC:
        return read(await exchange_tcp(server, wire))
    return found


def _find_message(octets: bytes) -> dns.message.Message | None:
    try:
        return dns.message.from_wire(octets, ignore_trailing=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None


def _explain(message: dns.message.Message) -> str:
    """Say why there is no answer: by the resolver's own words, if it sent any."""
    said = [
        format_extended_error(int(each.code), make_printable(each.text or "")[:MAX_TEXT])
        for each in message.extended_errors()
    ]
    code = dns.rcode.to_text(message.rcode())
    return f"{code} ({said[0]})" if said else code


def _list_keys(rrset: dns.rrset.RRset | None) -> tuple[KeyRecord, ...]:
    return tuple(
        KeyRecord(int(each.flags), each.protocol, int(each.algorithm), each.key)
        for each in islice(rrset or (), MAX_RECORDS)
    )


def _list_ds(rrset: dns.rrset.RRset) -> tuple[DsRecord, ...]:
    return tuple(
        DsRecord(each.key_tag, int(each.algorithm), int(each.digest_type), each.digest)
        for each in islice(rrset, MAX_RECORDS)
    )


def _find_denial(rrset: dns.rrset.RRset) -> Nsec | Nsec3 | None:
    record = rrset[0]
    types = TypeBitmap(tuple(record.windows))
    owner = _list_labels(rrset.name)
    if rrset.rdtype == _NSEC:
        return Nsec(owner, _list_labels(record.next), types)
    hashed = _find_hash(rrset.name)
    if record.algorithm != _NSEC3_SHA1 or hashed is None:
        return None
    is_opt_out = bool(record.flags & _OPT_OUT)
    return Nsec3(owner[:-1], hashed, record.next, types, record.salt, record.iterations, is_opt_out)


def _find_hash(owner: dns.name.Name) -> bytes | None:
    """Find the hash that the first label of an NSEC3 record's name is (RFC 5155 §3)."""
    label = owner.labels[0].upper()
    if len(label) != _HASH_DIGITS or not set(label) <= set(_DIGITS):
        return None
    # Base 32 with extended hex alphabet (RFC 4648 §7) has the digits that Python's has.
    return int(label, 32).to_bytes(20)


def _list_labels(name: dns.name.Name) -> Labels:
    return tuple(label.lower() for label in reversed(name.labels) if label)


def _show(name: dns.name.Name) -> str:
    return ROOT if name == dns.name.root else name.to_text(omit_final_dot=True).lower()
