"""The configurations of the demo's two nodes, as their operators would write them."""

from collections.abc import Sequence

from letterlock.base.config.values import ListenAddress
from letterlock.demo.setting import (
    ALICE,
    BOB,
    BROKEN_DOMAIN,
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
domains = ["{right}", "{wrong}"]
contact = "postmaster@{right}"
data_dir = "data"

[receive]
listen = [{listen}]
relay_from = []

[tls]
certificates = [{{ certificate = "certificate.pem", key = "key.pem" }}]

[local]
mailboxes = ["{alice}", "{bob}"]
postmaster = "{alice}"

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
certificates = [{{ certificate = "certificate.pem", key = "key.pem" }}]

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

[dns]
resolver = "{resolver}"
signed_name = "{signed}"
bogus_name = "{broken}"
"""


def format_receiver(listen: Sequence[ListenAddress], resolver: str) -> str:
    """Write the receiver's letterlock.toml. It would take mail for both domains."""
    return _RECEIVER.format(
        host=RIGHT_HOST,
        right=RIGHT_DOMAIN,
        wrong=WRONG_DOMAIN,
        listen=", ".join(f'"{address}"' for address in listen),
        alice=ALICE,
        bob=BOB,
        resolver=resolver,
        signed=SIGNED_DOMAIN,
        broken=BROKEN_DOMAIN,
    )


def format_sender(listen: ListenAddress, resolver: str, level: str) -> str:
    """Write the sender's letterlock.toml: a policy of `level` for both domains."""
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
        resolver=resolver,
        signed=SIGNED_DOMAIN,
        broken=BROKEN_DOMAIN,
    )
