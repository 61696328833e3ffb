"""The macros that a milter is told at each stage: what Postfix tells, as far as we know it.

Postfix's MILTER_README lists them by stage. A filter that names the macros it wants (from version 6
of the protocol on) gets those of them that we have.
"""

from collections.abc import Mapping

from letterlock import __version__
from letterlock.protocols.milter.options import Options, Stage
from letterlock.services.filter.contract import FilterClient, FilterMail

_OF_STAGE: Mapping[Stage, tuple[str, ...]] = {
    Stage.CONNECT: (
        *("j", "v", "_", "{daemon_name}"),
        *("{client_addr}", "{client_name}", "{client_ptr}", "{client_port}"),
    ),
    Stage.HELO: ("{tls_version}", "{cipher}", "{cipher_bits}"),
    Stage.MAIL: (
        *("i", "{auth_type}", "{auth_authen}", "{auth_author}"),
        *("{mail_addr}", "{mail_host}", "{mail_mailer}"),
    ),
    Stage.RCPT: ("i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"),
    Stage.DATA: ("i",),
    Stage.END_OF_HEADER: ("i",),
    Stage.END_OF_MESSAGE: ("i",),
}


class Macros:
    """What is known of a session and its transaction, by the names of macros."""

    def __init__(self, client: FilterClient, options: Options) -> None:
        self._wanted = {**_OF_STAGE, **options.macros}
        self._known = _describe_client(client)

    def begin(self, mail: FilterMail) -> None:
        """Begin a transaction."""
        self._known |= {
            "i": mail.queue_id,
            "{mail_addr}": mail.sender,
            "{mail_host}": mail.sender.rpartition("@")[2],
            "{mail_mailer}": "smtp",
        }

    def take_recipient(self, address: str) -> None:
        """Tell of this one from now on."""
        self._known |= {
            "{rcpt_addr}": address,
            "{rcpt_host}": address.rpartition("@")[2],
            "{rcpt_mailer}": "smtp",
        }

    def find(self, stage: Stage) -> dict[str, str]:
        """Give those of a stage."""
        known = self._known
        return {name: known[name] for name in self._wanted[stage] if name in known}


def _describe_client(client: FilterClient) -> dict[str, str]:
    name = client.name or "unknown"
    known = {
        "j": client.hostname,
        "v": f"Letterlock {__version__}",
        "_": f"{name} [{client.ip}]",
        "{daemon_name}": client.hostname,
        "{client_addr}": client.ip,
        "{client_name}": name,
        "{client_ptr}": name,
        "{client_port}": str(client.port),
    }
    if client.tls is not None:
        known |= {
            "{tls_version}": client.tls.version,
            "{cipher}": client.tls.cipher,
            "{cipher_bits}": str(client.tls.cipher_bits),
        }
    # Filters take who has these two for a client of ours.
    if client.login is not None and client.mechanism is not None:
        known |= {"{auth_authen}": client.login, "{auth_type}": client.mechanism}
    return known
