"""The settings of reports on TLS that others send by HTTPS.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import Count, InDataDir


@dataclass(frozen=True, slots=True)
class PostsSection:
    """Taking reports of others by HTTPS POST, where policies are served (RFC 8460 §5.4)."""

    enabled: bool = False
    """Whether reports are taken by HTTPS, on the ports of `publishing.mta_sts.listen`, each at an
    address of its domain: `letterlock tlsrpt address` tells it, and `dns records` has it in the
    TLSRPT record."""

    key_file: Annotated[Path, InDataDir()] = Path("tlsrpt-posts.key")
    """The secret that the addresses are made from; made by the node where it is missing. Nodes that
    answer for the same name need the same one. The first line is used; addresses of further lines,
    older secrets, are still taken. A relative path starts at `data_dir`."""

    per_client: Count = 500
    """How many reports one client (an IPv4 address, or an IPv6 /64) may send an hour; a large one
    counts once for each 64 KiB of JSON. More gets 429, and comes again later."""

    per_domain: Count = 2000
    """How many reports may come to one domain's address an hour."""
