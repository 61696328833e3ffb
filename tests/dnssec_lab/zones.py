"""The zones of the lab: what each is for, as a zone file has it, and how it is signed or broken."""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.acme.challenges import dns_value

EE_DIGEST = "11" * 32
TA_DIGEST = "22" * 32
ADDRESS = "127.0.0.1"


class Signing(StrEnum):
    """How a zone is signed."""

    GOOD = "good"
    NSEC3 = "nsec3"
    OPT_OUT = "opt-out"
    """With NSEC3 that leaves out zones that are not signed (RFC 5155 §6)."""
    UNSIGNED = "unsigned"
    """Neither signatures nor a DS at the parent."""
    ISLAND = "island"
    """Signed, with no DS at the parent: insecure."""
    UNKNOWN_ALGORITHM = "unknown-algorithm"
    """The DS names an algorithm that nobody knows: insecure, not bogus (RFC 4035 §5.2)."""
    BAD_SIGNATURES = "bad-signatures"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_DS = "wrong-ds"
    """The DS is that of another key."""
    KEYS_NOT_SIGNED = "keys-not-signed"
    LOST_KEY = "lost-key"
    """All but the keys is signed by a key that is not there."""
    WITHOUT_NSEC = "without-nsec"
    """Nothing proves what is not there."""
    LAME = "lame"
    """Delegated, with a DS, and served by nobody."""


@dataclass(frozen=True, slots=True)
class LabZone:
    """A zone's records, without SOA and NS; names are relative to it."""

    signing: Signing
    records: str = ""


KEY_AUTHORIZATION = "token-in-the-lab-of-dnssec.thumbprint"
_ONE_HOST = f"""
@            MX    10 mx
mx           A     {ADDRESS}
_acme-challenge TXT "{dns_value(KEY_AUTHORIZATION)}"
_25._tcp.mx  TLSA  3 1 1 {EE_DIGEST}
"""

ZONES: dict[str, LabZone] = {
    ".": LabZone(Signing.GOOD),
    "example.": LabZone(Signing.GOOD, f"ns A {ADDRESS}\n"),
    "secure.example.": LabZone(
        Signing.GOOD,
        f"""
@                 MX     10 mx1
@                 MX     20 mx2
_mta-sts          TXT    "v=STSv1; id=1;"
mx1               A      127.0.0.11
mx1               AAAA   ::1
_25._tcp.mx1      TLSA   3 1 1 {EE_DIGEST}
_25._tcp.mx1      TLSA   2 1 1 {TA_DIGEST}
mx2               A      127.0.0.12
mx3               A      127.0.0.13
_25._tcp.mx3      CNAME  shared
shared            TLSA   3 1 1 {EE_DIGEST}
mx4               A      127.0.0.14
_25._tcp.mx4      CNAME  _25._tcp.mx.unsigned.example.
alias-mx          MX     10 alias
alias             CNAME  mx1
alias-to-alias    CNAME  alias
alias-without     CNAME  implicit
unsigned-mx       MX     10 to-unsigned
to-unsigned       CNAME  mx.unsigned.example.
_25._tcp.to-unsigned TLSA 3 1 1 {EE_DIGEST}
to-bogus          CNAME  mx.bogus.example.
unusable          A      127.0.0.15
_25._tcp.unusable TLSA   0 0 1 {EE_DIGEST}
_25._tcp.unusable TLSA   3 1 9 {EE_DIGEST}
null-mx           MX     0 .
implicit          A      127.0.0.16
renamed           DNAME  example.
*.wild            A      127.0.0.17
*.wild            TLSA   3 1 1 {EE_DIGEST}
caa               CAA    0 issue "ca.example"
caa               CAA    128 tbs "Unknown"
x.ent.caa         A      127.0.0.18
to-caa            CNAME  caa
to-unsigned-caa   CNAME  caa.unsigned.example.
to-bogus-caa      CNAME  caa.bogus.example.
*.caa-wild        CAA    0 issuewild ";"
_acme-challenge.to-unsigned CNAME _acme-challenge.unsigned.example.
_acme-challenge.to-bogus    CNAME _acme-challenge.bogus.example.
""",
    ),
    "nsec3.example.": LabZone(Signing.NSEC3, f"{_ONE_HOST}mx2 A {ADDRESS}\n"),
    "opt-out.example.": LabZone(Signing.OPT_OUT, _ONE_HOST),
    "child.opt-out.example.": LabZone(Signing.UNSIGNED, _ONE_HOST),
    "unsigned.example.": LabZone(
        Signing.UNSIGNED,
        f"{_ONE_HOST}hosted MX 10 mx1.secure.example.\nto-secure CNAME mx1.secure.example.\n"
        'caa CAA 0 issue "ca.example"\n',
    ),
    "island.example.": LabZone(Signing.ISLAND, _ONE_HOST),
    "unknown.example.": LabZone(Signing.UNKNOWN_ALGORITHM, _ONE_HOST),
    "bogus.example.": LabZone(Signing.BAD_SIGNATURES, f'{_ONE_HOST}caa CAA 0 issue "ca.example"\n'),
    "expired.example.": LabZone(Signing.EXPIRED, _ONE_HOST),
    "future.example.": LabZone(Signing.NOT_YET_VALID, _ONE_HOST),
    "wrong-ds.example.": LabZone(Signing.WRONG_DS, _ONE_HOST),
    "keys-not-signed.example.": LabZone(Signing.KEYS_NOT_SIGNED, _ONE_HOST),
    "lost-key.example.": LabZone(Signing.LOST_KEY, _ONE_HOST),
    "without-nsec.example.": LabZone(Signing.WITHOUT_NSEC, _ONE_HOST),
    "lame.example.": LabZone(Signing.LAME),
}
