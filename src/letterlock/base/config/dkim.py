"""The settings of signatures on mail of our domains (DKIM).

How sections are written says `sections`.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import InDataDir, Parsed, lasting
from letterlock.base.domains import Domain, DomainError, parse_domain


class DkimAlgorithm(StrEnum):
    """What signatures are made with (RFC 8301 §3.1, RFC 8463 §3)."""

    RSA = "rsa"
    ED25519 = "ed25519"


def parse_selector(text: str) -> str:
    """Take a selector (RFC 6376 §3.1) to which `-ed25519` can still be added."""
    try:
        return parse_domain(f"{text}-{DkimAlgorithm.ED25519}").removesuffix(
            f"-{DkimAlgorithm.ED25519}"
        )
    except DomainError:
        raise ValueError('a selector such as "2026a", of letters, digits and hyphens') from None


Selector = Annotated[str, Parsed(parse_selector, "selector")]


@dataclass(frozen=True, slots=True)
class DkimSection:
    """Signing what relay clients, accounts and programs here send in the name of our domains."""

    enabled: bool = True
    """Whether mail is signed. Set it to false where something else signs it."""

    domains: tuple[Domain, ...] = ()
    """The domains whose mail is signed, and that below them. Unset: `domains`."""

    selector: Selector | None = None
    """The name of the key in DNS: an RSA key is at SELECTOR`._domainkey.`DOMAIN, an Ed25519 key at
    SELECTOR`-ed25519`. Unset: the first label of `hostname`, so that each node has keys of its
    own. Nodes that share one must have the same files in `key_dir`."""

    next_selector: Selector | None = None
    """The selector that will follow: its keys are made and are to be published, but sign nothing
    yet. To change keys, set it; publish the records; some days later make it the `selector`; leave
    the old records for a week more."""

    algorithms: tuple[DkimAlgorithm, ...] = (DkimAlgorithm.RSA, DkimAlgorithm.ED25519)
    """What to sign with; each makes a signature of its own. `rsa` is what all others can verify."""

    key_dir: Annotated[Path, InDataDir()] = Path("dkim")
    """Where the private keys are: `DOMAIN/SELECTOR.pem`. One that is missing is made. A relative
    path starts at `data_dir`. A key from elsewhere is put there in PEM form."""

    lifetime: Annotated[timedelta, lasting("0s", "365d")] = timedelta(0)
    """For how long signatures are good. `0s`: for ever. Mail may be on its way for a week."""

    verify: bool = False
    """Verify the signatures on mail from outside, and write the results into an
    Authentication-Results field in the first of `receive.authserv_ids`. For nodes without a filter
    that does so: nothing is refused for it."""

    def find_selector(self, hostname: Domain) -> str:
        """Give the selector of the keys that sign."""
        return self.selector or hostname.partition(".")[0]
