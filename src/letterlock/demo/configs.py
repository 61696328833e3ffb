"""The configurations of the demo's two nodes, as their operators would write them."""

from collections.abc import Iterable, Sequence

from letterlock.base.config.values import ListenAddress
from letterlock.demo.certificates import RECEIVER_CERTIFICATES
from letterlock.demo.setting import (
    ALICE,
    BROKEN_DOMAIN,
    RECIPIENTS,
    RIGHT_DOMAIN,
    RIGHT_HOST,
    SENDER_DOMAIN,
    SENDER_HOST,
    SENDER_IP,
    SIGNED_DOMAIN,
    WRITER,
    WRONG_DOMAIN,
)

_RECEIVER = """\
# The receiving node of `letterlock demo`. Paths start at this file's folder.
hostname = "{host}"
domains = [{domains}]
contact = "postmaster@{domain}"
data_dir = "data"

[receive]
listen = [{listen}]
relay_from = []

[tls]
certificates = [
{certificates}
]

[local]
mailboxes = [{mailboxes}]
postmaster = "{postmaster}"

[policy]
trust_files = ["../authority.pem"]

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
trust_files = ["../authority.pem"]

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


def format_receiver(listen: Sequence[ListenAddress], resolver: str) -> str:
    """Write the receiver's letterlock.toml. It would take mail for every domain of the demo."""
    certificates = [
        f'    {{ certificate = "{name}.pem", key = "{name}.key" }},'
        for name in RECEIVER_CERTIFICATES
    ]
    return _RECEIVER.format(
        host=RIGHT_HOST,
        domain=RIGHT_DOMAIN,
        domains=_quote(recipient.partition("@")[2] for recipient in RECIPIENTS),
        listen=_quote(listen),
        certificates="\n".join(certificates),
        mailboxes=_quote(RECIPIENTS),
        postmaster=ALICE,
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
