"""The configurations of the demo's authority and its two nodes, as operators would write them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from letterlock.base.config.values import ListenAddress
from letterlock.demo.setting import (
    ALICE,
    AUTHORITY,
    AUTHORITY_DOMAIN,
    AUTHORITY_HOST,
    BROKEN_DOMAIN,
    RECIPIENTS,
    REPORTS,
    RIGHT_DOMAIN,
    RIGHT_HOST,
    SENDER_DOMAIN,
    SENDER_HOST,
    SENDER_IP,
    SIGNED_DOMAIN,
    WRITER,
    WRONG_DOMAIN,
)

_AUTHORITY = """\
# The authority of `letterlock demo`. Paths start at this file's folder.
hostname = "{host}"
domains = ["{domain}"]
contact = "postmaster@{domain}"
data_dir = "data"

[ca]
name = "{name}"
listen = ["{listen}"]
crl_listen = ["{crl_listen}"]

[ca.validation]
http_port = {http_port} # instead of 80, which needs root
networks = ["127.0.0.0/8"] # all hosts are on loopback
private_names = true # nobody on the Internet has these
needs_dnssec = false

[ca.incidents]
after_replaced = "1s" # an hour is the rule

[send]
drop_dir = "../../sender/data/drop" # whence mail of its machine goes

[dns]
resolver = "{resolver}"
"""

_RECEIVER = """\
# The receiving node of `letterlock demo`. Paths start at this file's folder.
hostname = "{host}"
domains = [{domains}]
contact = "postmaster@{domain}"
data_dir = "data"

[receive]
listen = [{listen}]
relay_from = []

[certificates]
authorities = [{{ directory = "{directory}", trust_file = "../root.pem" }}]
names = [{names}] # and the hostname
http_listen = [{http_listen}] # not port 80, which needs root

[local]
mailboxes = [{mailboxes}]
postmaster = "{postmaster}"

[publishing]
tls_reports = ["mailto:{reports}"] # taken out of the mail for this address

[policy]
trust_files = ["../root.pem"]

[dns]
resolver = "{resolver}"
signed_name = "{signed}"
bogus_name = "{broken}"
"""

_SENDER = """\
# The sending node of `letterlock demo`. Paths start at this file's folder.
hostname = "{host}"
domains = ["{domain}"]
contact = "postmaster@{domain}"
data_dir = "data"

[receive]
listen = [{listen}]
relay_from = ["{client}"]

[tls]
certificates = [{{ certificate = "certificate.pem", key = "certificate.key" }}]

[local]
mailboxes = ["{writer}"]
postmaster = "{writer}"

[deliver]
port = {port} # instead of 25, which needs root
families = ["ipv4"]

[policy]
trust_files = ["../trusted.pem"]

[policy.hops."{right}"]
level = "{level}"

[policy.hops."{wrong}"]
level = "{level}"

[mta_sts]
port = {policy_port} # instead of 443, which needs root
private_addresses = true # the policy host is on loopback too

[dns]
resolver = "{resolver}"
signed_name = "{signed}"
bogus_name = "{broken}"
"""


def format_authority(
    listen: ListenAddress, crl_listen: ListenAddress, http_port: int, resolver: str
) -> str:
    """Write the authority's letterlock.toml."""
    return _AUTHORITY.format(
        host=AUTHORITY_HOST,
        domain=AUTHORITY_DOMAIN,
        name=AUTHORITY,
        listen=listen,
        crl_listen=crl_listen,
        http_port=http_port,
        resolver=resolver,
    )


@dataclass(frozen=True, slots=True)
class Certifying:
    """How the receiver gets its certificates; `names` are those beside its own."""

    directory: str
    names: Sequence[str]
    http_listen: Sequence[ListenAddress]


def format_receiver(
    listen: Sequence[ListenAddress], certifying: Certifying, resolver: str, reports: str
) -> str:
    """Write the receiver's letterlock.toml. It would take mail for every domain of the demo.

    `reports` is the address at which it expects reports on TLS.
    """
    return _RECEIVER.format(
        host=RIGHT_HOST,
        domain=RIGHT_DOMAIN,
        domains=_quote(recipient.partition("@")[2] for recipient in RECIPIENTS),
        listen=_quote(listen),
        directory=certifying.directory,
        names=_quote(certifying.names),
        http_listen=_quote(certifying.http_listen),
        mailboxes=_quote((*RECIPIENTS, REPORTS)),
        postmaster=ALICE,
        reports=reports,
        resolver=resolver,
        signed=SIGNED_DOMAIN,
        broken=BROKEN_DOMAIN,
    )


def format_sender(listen: ListenAddress, resolver: str, policy_port: int, level: str) -> str:
    """Write the sender's letterlock.toml: a policy of `level` for two domains, none for others."""
    return _SENDER.format(
        host=SENDER_HOST,
        domain=SENDER_DOMAIN,
        listen=f'"{listen}"',
        client=SENDER_IP,
        writer=WRITER,
        port=listen.port,
        right=RIGHT_DOMAIN,
        wrong=WRONG_DOMAIN,
        level=level,
        policy_port=policy_port,
        resolver=resolver,
        signed=SIGNED_DOMAIN,
        broken=BROKEN_DOMAIN,
    )


def _quote(items: Iterable[object]) -> str:
    return ", ".join(f'"{item}"' for item in items)
