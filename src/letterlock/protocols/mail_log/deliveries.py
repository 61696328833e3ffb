"""What a log says became of mail: a value for each attempt and recipient, whoever wrote it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """A handshake as the log has it. `trust` is Postfix's word, which is no verdict by itself."""

    trust: str
    version: str
    cipher: str


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """One attempt for one recipient. `cause` is of `causes`, or begins with `SECOND_MX`.

    `stamp` is as the log has it; `level` is empty where the log does not show it; `evidence` are
    texts of the lines that it rests on, without their beginning.
    """

    stamp: str
    queue_id: str
    recipient: str
    mx: str
    ip: str
    level: str
    tls: Tls | None
    status: str
    dsn: str
    cause: str
    reason: str = ""
    """The log's own words behind the status."""
    evidence: tuple[str, ...] = ()
    port: str = ""

    @property
    def relay(self) -> str:
        """The host with its address and port, as Postfix writes it, or `none`."""
        port = f":{self.port}" if self.port else ""
        return f"{self.mx}[{self.ip}]{port}" if self.ip else self.mx or "none"

    @property
    def domain(self) -> str:
        """The recipient's domain, in lower case; empty: it has none."""
        _, found, domain = self.recipient.rpartition("@")
        return domain.lower().rstrip(".") if found else ""


@dataclass(slots=True)
class Tally:
    """How much was read, and what could not be tied to a delivery."""

    lines: int = 0
    unread: int = 0
    """Lines of no form that is known."""
    untied: int = 0
    """Lines about TLS and failures whose delivery is not in the log."""
