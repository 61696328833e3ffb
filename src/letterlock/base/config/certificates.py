"""The settings of certificates that are got and renewed by the node itself (ACME).

How sections are written says `sections`.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.choices import ChallengeKind, KeyKind, MacKind
from letterlock.base.config.values import (
    Between,
    ListenAddress,
    Parsed,
    lasting,
    parse_certificate_name,
    parse_file_mode,
    parse_group,
    parse_https_url,
)

CertificateName = Annotated[str, Parsed(parse_certificate_name, "name or IP address")]


@dataclass(frozen=True, slots=True)
class Authority:
    """An ACME server that certificates are asked of."""

    directory: Annotated[str, Parsed(parse_https_url, "https URL")]
    """The URL of its directory, such as `https://acme-v02.api.letsencrypt.org/directory`."""

    agree_to_terms: bool = False
    """Whether you agree to its terms of service. Most authorities give nothing without."""

    eab_key_id: str | None = None
    """The name of the key for an external account (EAB), where the authority asks for one."""

    eab_key_file: Path | None = None
    """The file with that key, in base64url; only the node's user should be able to read it."""

    eab_algorithm: MacKind = MacKind.HS256
    """How that key is used."""

    profile: str | None = None
    """The authority's profile to ask for, such as `shortlived`. Unset: it chooses."""

    top_issuer: str | None = None
    """Of several chains that are offered the one whose last certificate names this issuer."""

    trust_file: Path | None = None
    """The authorities that its own certificate may come from. Unset: the system's."""


@dataclass(frozen=True, slots=True)
class Export:
    """A folder where other programs find certificates, in certbot's layout."""

    folder: Path
    """Each certificate is `folder/NAME/fullchain.pem` with `privkey.pem`, `chain.pem`, `cert.pem`
    and `combined.pem` (key and chain in one) beside it."""

    names: tuple[CertificateName, ...] = ()
    """Which certificates. Empty: all."""

    mode: Annotated[str, Parsed(parse_file_mode, "mode")] = "0600"
    """The mode of the files with private keys."""

    group: Annotated[str, Parsed(parse_group, "group")] | None = None
    """The group of the files, one that the node's user is in. Unset: that user's own."""

    hook: Path | None = None
    """A program that is run after a change, with the certificate's folder and its names as
    arguments; no shell reads them."""


@dataclass(frozen=True, slots=True)
class CertificatesSection:
    """Certificates that the node gets and renews by itself."""

    authorities: tuple[Authority, ...] = ()
    """Whom to ask, by ACME. With one the node gets a certificate for `hostname` and for every name
    that other settings need. The first is asked; the others stand in for it."""

    takeover_after: Annotated[int, Between(1, 100)] = 5
    """After how many failures in a row for one name the next authority is asked."""

    names: tuple[CertificateName, ...] = ()
    """More names to have a certificate for, each one of its own: a domain, `*.` and a domain, or an
    IP address. Nothing is ever asked for on demand of a client."""

    key_types: tuple[KeyKind, ...] = (KeyKind.ECDSA,)
    """The types of keys. With both each name has two certificates, for clients old and new."""

    challenges: tuple[ChallengeKind, ...] = (ChallengeKind.HTTP,)
    """How names are proved to be ours, the preferred way first. A wildcard needs `dns-01`, and
    `[dns_changes]`."""

    http_listen: tuple[ListenAddress, ...] = (ListenAddress("0.0.0.0", 80), ListenAddress("::", 80))  # noqa: S104 - an authority asks there from anywhere
    """Where `http-01` is answered: the authority comes to port 80. Empty with `webroot`."""

    webroot: Path | None = None
    """The root folder of another web server that has port 80; answers to `http-01` are put there
    as files."""

    alpn_listen: tuple[ListenAddress, ...] = (
        ListenAddress("0.0.0.0", 443),  # noqa: S104 - as above
        ListenAddress("::", 443),
    )
    """Where `tls-alpn-01` is answered: the authority comes to port 443. The policy host of
    `[publishing]` may have the same address."""

    roll_over_every: Annotated[timedelta, lasting("0s", "3650d")] = timedelta(0)
    """How long a key is used before the next one takes its place, in step with TLSA records. `0s`:
    until `letterlock cert rollover`. Renewals keep the key."""

    export: tuple[Export, ...] = ()
    """Folders where other programs find the certificates."""
