"""From the lab's zones to signed zone files, with the chain of DS records between them."""

import base64
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.dnssec
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.zone

from letterlock.network.zone_signing import ZoneKey, make_key, sign_zone
from tests.dnssec_lab.zones import LabZone, Signing
from tests.peers import environment, program

_HEAD = "$TTL 300\n@ SOA ns.example. host.example. 1 3600 600 86400 60\n@ NS ns.example.\n"
_UNKNOWN_ALGORITHM = "200"
_WITHOUT_DS = (Signing.UNSIGNED, Signing.ISLAND)
_VALID = (timedelta(hours=-1), timedelta(days=7))
# Unbound forgives a tenth of the validity, at most a day (val-sig-skew-max).
_VALIDITY = {
    Signing.EXPIRED: (timedelta(days=-30), timedelta(days=-2)),
    Signing.NOT_YET_VALID: (timedelta(days=2), timedelta(days=9)),
}


def write_zones(folder: Path, zones: Mapping[str, LabZone]) -> dict[str, Path]:
    """Write the zone files, and the root's key as `root.key`; gives the file of each zone."""
    keys = {origin: make_key() for origin in zones}
    folder.joinpath("root.key").write_text(f". IN DS {keys['.'].make_ds('.')}\n")
    files = {}
    for origin, lab_zone in zones.items():
        if lab_zone.signing is Signing.LAME:
            continue
        text = _HEAD + lab_zone.records + _delegations(origin, zones, keys)
        zone = dns.zone.from_text(text, origin, relativize=False)
        files[origin] = folder / f"{origin.strip('.') or 'root'}.zone"
        _sign(zone, lab_zone.signing, keys[origin], files[origin])
    return files


def _delegations(origin: str, zones: Mapping[str, LabZone], keys: Mapping[str, ZoneKey]) -> str:
    lines = []
    for child, lab_zone in zones.items():
        name = dns.name.from_text(child)
        if child == "." or name.parent() != dns.name.from_text(origin):
            continue
        lines.append(f"{child} NS ns.example.")
        if lab_zone.signing not in _WITHOUT_DS:
            lines.append(f"{child} DS {_format_ds(child, lab_zone.signing, keys[child])}")
    return "\n".join([*lines, ""])


def _format_ds(child: str, signing: Signing, key: ZoneKey) -> str:
    published = make_key() if signing is Signing.WRONG_DS else key
    tag, algorithm, digest_type, digest = published.make_ds(child).to_text().split(maxsplit=3)
    if signing is Signing.UNKNOWN_ALGORITHM:
        algorithm = _UNKNOWN_ALGORITHM
    return f"{tag} {algorithm} {digest_type} {digest}"


def _sign(zone: dns.zone.Zone, signing: Signing, key: ZoneKey, path: Path) -> None:
    if signing in (Signing.NSEC3, Signing.OPT_OUT):
        _sign_nsec3(zone, key, path, is_opt_out=signing is Signing.OPT_OUT)
        return
    if signing is not Signing.UNSIGNED:
        now = datetime.now(UTC)  # noqa: TID251 - Unbound's clock is the real one
        inception, expiration = _VALIDITY.get(signing, _VALID)
        sign_zone(zone, key, now + inception, now + expiration)
    _break(zone, signing)
    zone.to_file(str(path), relativize=False)


def _break(zone: dns.zone.Zone, signing: Signing) -> None:
    match signing:
        case Signing.BAD_SIGNATURES:
            _spoil_signatures(zone)
        case Signing.LOST_KEY:
            _rename_key(zone)
        case Signing.KEYS_NOT_SIGNED:
            assert zone.origin is not None
            zone.delete_rdataset(zone.origin, dns.rdatatype.RRSIG, dns.rdatatype.DNSKEY)
        case Signing.WITHOUT_NSEC:
            for name in list(zone.nodes):
                zone.delete_rdataset(name, dns.rdatatype.NSEC)
                zone.delete_rdataset(name, dns.rdatatype.RRSIG, dns.rdatatype.NSEC)
        case _:
            pass


def _rename_key(zone: dns.zone.Zone) -> None:
    """Let every signature but that of the keys be of a key that is not there."""
    for name, rdataset in list(zone.iterate_rdatasets()):
        if rdataset.rdtype == dns.rdatatype.RRSIG and rdataset.covers != dns.rdatatype.DNSKEY:
            renamed = [rdata.replace(key_tag=rdata.key_tag ^ 1) for rdata in rdataset]
            zone.replace_rdataset(name, dns.rdataset.from_rdata_list(rdataset.ttl, renamed))


def _spoil_signatures(zone: dns.zone.Zone) -> None:
    """Flip a bit in every signature but that of the keys."""
    for name, rdataset in list(zone.iterate_rdatasets()):
        if rdataset.rdtype == dns.rdatatype.RRSIG and rdataset.covers != dns.rdatatype.DNSKEY:
            spoilt = [
                rdata.replace(signature=rdata.signature[:-1] + bytes([rdata.signature[-1] ^ 1]))
                for rdata in rdataset
            ]
            zone.replace_rdataset(name, dns.rdataset.from_rdata_list(rdataset.ttl, spoilt))


def _sign_nsec3(zone: dns.zone.Zone, key: ZoneKey, path: Path, *, is_opt_out: bool) -> None:
    """Let ldns sign: dnspython has no NSEC3."""
    origin = zone.origin.to_text() if zone.origin else "."
    stem = path.with_name(f"K{origin}+013+{dns.dnssec.key_id(key.dnskey):05d}")
    number = key.private.private_numbers().private_value.to_bytes(32)
    stem.with_name(f"{stem.name}.private").write_text(
        "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n"
        f"PrivateKey: {base64.b64encode(number).decode()}\n"
    )
    stem.with_name(f"{stem.name}.key").write_text(f"{origin} 300 IN DNSKEY {key.dnskey}\n")
    unsigned = path.with_suffix(".unsigned")
    zone.to_file(str(unsigned), relativize=False)
    signer = str(program("ldns-signzone", "ldns"))
    arguments = ("-n", "-t", "0", "-o", origin, "-f", str(path), str(unsigned), str(stem))
    opt_out = ("-p",) if is_opt_out else ()
    subprocess.run(
        [signer, *opt_out, *arguments], check=True, capture_output=True, env=environment("ldns")
    )
