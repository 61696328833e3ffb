"""Who is in the demo: names, addresses, zones, policies; and what tests change, to see it noticed.

Five domains, one for each message. What TLS they must have is in the sender's own table for the
first two, in DNSSEC for the third, in an MTA-STS policy for the last two. The authority is in a
domain of its own; two say by CAA who may issue for them.
"""

from dataclasses import dataclass
from datetime import timedelta

from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy, format_policy

SENDER_DOMAIN = "sender.example"
SENDER_HOST = "out.sender.example"
SENDER_IP = "127.0.0.1"
RIGHT_DOMAIN = "demo.example"
RIGHT_HOST = "mx.demo.example"
RIGHT_IP = "127.0.0.2"
WRONG_DOMAIN = "wrong.example"
WRONG_HOST = "mx.wrong.example"
"""There the receiver has no certificate for it, and shows the one for RIGHT_HOST."""
WRONG_IP = "127.0.0.3"
SIGNED_DOMAIN = "signed.example"
SIGNED_HOST = "mx.signed.example"
LISTED_DOMAIN = "listed.example"
LISTED_HOST = "mx.listed.example"
UNLISTED_DOMAIN = "unlisted.example"
"""Its MX record leads to RIGHT_HOST, its policy lists another host."""
BROKEN_DOMAIN = "broken.example"
"""Signed by another key than its own, so that nothing in it can be validated."""

POLICY_HOST_IP = SENDER_IP

WRITER = f"you@{SENDER_DOMAIN}"
ALICE = f"alice@{RIGHT_DOMAIN}"
BOB = f"bob@{WRONG_DOMAIN}"
CAROL = f"carol@{SIGNED_DOMAIN}"
DAVE = f"dave@{LISTED_DOMAIN}"
ERIN = f"erin@{UNLISTED_DOMAIN}"
RECIPIENTS = (ALICE, BOB, CAROL, DAVE, ERIN)
REPORTS = f"tls-reports@{RIGHT_DOMAIN}"
"""Where those who want reports have them sent."""

AUTHORITY = "Letterlock demo"
AUTHORITY_DOMAIN = "authority.example"
AUTHORITY_HOST = "ca.authority.example"
"""Also what CAA records call it."""
OTHER_AUTHORITY = "another.example"
"""The one that WRONG_DOMAIN wants its certificates from."""
AUTHORITY_IP = SENDER_IP
POLICY_HOSTS = (f"mta-sts.{LISTED_DOMAIN}", f"mta-sts.{UNLISTED_DOMAIN}")

_STS = f'_mta-sts TXT "v=STSv1; id=1"\nmta-sts A {POLICY_HOST_IP}'
TLSRPT = f"v=TLSRPTv1; rua=mailto:{REPORTS}"
"""The record of the domains that want reports: they are those with MTA-STS policies."""
_ASKING = f'{_STS}\n_smtp._tls TXT "{TLSRPT}"'
ZONES = {
    SENDER_DOMAIN: f"@ MX 10 {SENDER_HOST}.\n{SENDER_HOST}. A {SENDER_IP}",
    AUTHORITY_DOMAIN: f"{AUTHORITY_HOST}. A {AUTHORITY_IP}",
    RIGHT_DOMAIN: (
        f'@ MX 10 {RIGHT_HOST}.\n@ CAA 0 issue "{AUTHORITY_HOST}"\n{RIGHT_HOST}. A {RIGHT_IP}'
    ),
    WRONG_DOMAIN: (
        f'@ MX 10 {WRONG_HOST}.\n@ CAA 0 issue "{OTHER_AUTHORITY}"\n{WRONG_HOST}. A {WRONG_IP}'
    ),
    SIGNED_DOMAIN: f"@ MX 10 {SIGNED_HOST}.\n{SIGNED_HOST}. A {RIGHT_IP}",
    LISTED_DOMAIN: f"@ MX 10 {LISTED_HOST}.\n{LISTED_HOST}. A {RIGHT_IP}\n{_ASKING}",
    UNLISTED_DOMAIN: f"@ MX 10 {RIGHT_HOST}.\n{_ASKING}",
    BROKEN_DOMAIN: f"@ MX 10 {RIGHT_HOST}.",
}
"""As zone files have it: `@` is the domain itself. The TLSA record is added when there is a key,
and so are the sender's DKIM keys."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the demo is played with; each default is what makes all claims hold."""

    is_wrong_host_certified: bool = False
    """CAA of WRONG_DOMAIN lets the authority issue for WRONG_HOST, and the receiver asks for it."""
    level: str = "verify"
    """What the sender's table says."""
    is_authority_trusted: bool = True
    is_right_key_published: bool = True
    """The TLSA record names the key of SIGNED_HOST."""
    policy_mode: MtaStsMode = MtaStsMode.ENFORCE
    other_host: str = f"mx.{UNLISTED_DOMAIN}"
    """What the policy of UNLISTED_DOMAIN lists."""
    expects_reports_at: str = REPORTS
    """Where the receiver's settings say that reports come to."""

    @property
    def certified(self) -> tuple[str, ...]:
        """Give the names that the receiver has certificates for, its own name first."""
        more = (WRONG_HOST,) if self.is_wrong_host_certified else ()
        return (RIGHT_HOST, LISTED_HOST, *POLICY_HOSTS, *more)

    @property
    def zones(self) -> dict[str, str]:
        """Give the records of each zone, as its file has them."""
        if not self.is_wrong_host_certified:
            return ZONES
        permitted = ZONES[WRONG_DOMAIN].replace(OTHER_AUTHORITY, AUTHORITY_HOST)
        return {**ZONES, WRONG_DOMAIN: permitted}

    @property
    def policies(self) -> dict[str, bytes]:
        """Give the policy file of each domain that has one."""
        listed = {LISTED_DOMAIN: LISTED_HOST, UNLISTED_DOMAIN: self.other_host}
        return {
            domain: format_policy(
                MtaStsPolicy(self.policy_mode, (host,), timedelta(weeks=1))
            ).encode()
            for domain, host in listed.items()
        }
