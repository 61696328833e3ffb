"""The settings of TLS reports: what is counted, and where a Postfix tells of its sessions.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import (
    InDataDir,
    Parsed,
    lasting,
    parse_account,
    parse_file_mode,
)


@dataclass(frozen=True, slots=True)
class TlsrptSection:
    """Reports on TLS: our own daily ones, and counting the sessions of a Postfix 3.10 or later."""

    reports: bool = True
    """Whether the node counts its TLS sessions, by day, and reports them to those who ask for it
    in DNS."""

    socket: Path = Path("/var/spool/postfix/run/tlsrpt/tlsrpt.sock")
    """Where Postfix sends what its sessions came to: `smtp_tlsrpt_socket_name =
    run/tlsrpt/tlsrpt.sock` there. A folder that is missing is made."""

    socket_mode: Annotated[str, Parsed(parse_file_mode, "mode")] = "0666"
    """The mode of `socket`: who may send, and so have sessions counted. 0660 where `socket_owner`
    is Postfix's."""

    socket_owner: Annotated[str, Parsed(parse_account, "user or user:group")] | None = None
    """Whom `socket` belongs to, such as `postfix`. Only root can give it away."""

    journal_dir: Annotated[Path, InDataDir()] = Path("tlsrpt")
    """The folder where counts are kept, by day. A relative path starts at `data_dir`."""

    keep: Annotated[timedelta, lasting("2d", "365d")] = timedelta(days=10)
    """For how long the counts of a day are kept that nobody has reported."""
