"""The settings of an authority of our own: `letterlock ca`.

How sections are written says `sections`; the parts of this one are in `authority_parts`.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.authority_parts import (
    USUAL_PROFILES,
    CaAuditSection,
    CaIncidentsSection,
    CaLimitsSection,
    CaNamesSection,
    CaStatusSection,
    CaTokenSection,
    CaValidationSection,
    IssuedProfile,
    IssuingKey,
    parse_word,
)
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.inbound import CertificateFiles
from letterlock.base.config.values import (
    Between,
    InDataDir,
    ListenAddress,
    Parsed,
    Secret,
    lasting,
    parse_https_url,
)
from letterlock.base.domains import Domain

ACME_PORT = 14000
CRL_PORT = 14080
_BASE_URL = re.compile(r"https://[A-Za-z0-9.\[\]:-]+(?:/[\w.~-]+)*\Z", re.ASCII)
_CRL_URL = re.compile(r"http://[a-z0-9.\[\]:-]+/(?:[\w.~-]+/)*\Z", re.ASCII)
_CONTACT = re.compile(r"(?:mailto|https):[!-~]{1,200}\Z")


def parse_base_url(text: str) -> str:
    """Parse the URL that an authority's paths stand behind. Raises ValueError."""
    if not _BASE_URL.match(text):
        raise ValueError('an https URL without a slash at its end, as "https://ca.example.org"')
    return text


def parse_crl_url(text: str) -> str:
    """Parse the folder's URL that certificates have. Raises ValueError."""
    if not _CRL_URL.match(text):
        raise ValueError('an http URL with a slash at its end, as "http://ca.example.org/crl/"')
    return text


def parse_contact(text: str) -> str:
    """Parse where people who have to do with the authority write to. Raises ValueError."""
    if not _CONTACT.match(text):
        raise ValueError('such as "mailto:ca@example.org" or "https://ca.example.org/"')
    return text


BaseUrl = Annotated[str, Parsed(parse_base_url, "https URL")]


@dataclass(frozen=True, slots=True)
class CaSection:
    """An authority of our own, which `letterlock ca init` makes and `letterlock ca serve` runs."""

    name: str = "Letterlock"
    """What it is called in its own certificates, which `letterlock ca init` makes."""

    public: bool = False
    """Whether the public is to trust it: then nothing of the Baseline Requirements is excused when
    certificates are linted, and there must be as many perspectives as those want. What else a
    public authority needs, no program gives."""

    url: BaseUrl | None = None
    """The URL that its paths stand behind, as clients have it: `https://ca.example.org`. It stays:
    accounts have it in their names, which stand in CAA records. Unset: `hostname` with the port of
    `listen`."""

    former_urls: tuple[BaseUrl, ...] = ()
    """What `url` was before: accounts are known by it."""

    listen: tuple[ListenAddress, ...] = (
        ListenAddress("0.0.0.0", ACME_PORT),  # noqa: S104 - clients come from anywhere
        ListenAddress("::", ACME_PORT),
    )
    """Where ACME is served, over TLS."""

    server_certificate: CertificateFiles | None = None
    """The certificate with which ACME is served. Unset: the authority issues one to itself, and
    renews it."""

    folder: Annotated[Path, InDataDir()] = Path("ca")
    """Where keys, certificates and, with `sqlite`, the database are. A relative path starts at
    `data_dir`."""

    database: QueueEngine = QueueEngine.SQLITE
    """Where accounts, orders, certificates and the audit log are kept: `sqlite` in `folder`, or
    `postgres`, which several processes on several machines can share."""

    database_url: Annotated[str, Secret()] | None = field(default=None, repr=False)
    """The PostgreSQL database: `postgresql://user@host/name`. Better not that of the queue: this
    one is kept for years."""

    database_url_file: Path | None = None
    """A file whose first line is the `database_url`, for a password that only the authority's user
    can read."""

    issuers: tuple[IssuingKey, ...] = ()
    """The authority's keys: the first issues, the others still sign their CRLs. Unset: the one that
    `letterlock ca init` made in `folder`."""

    profiles: tuple[IssuedProfile, ...] = USUAL_PROFILES
    """The kinds of certificates that clients can ask for."""

    default_profile: Annotated[str, Parsed(parse_word, "word")] | None = None
    """The one that a client gets that asks for none. Unset: the first."""

    compromised_keys: tuple[Path, ...] = ()
    """Lists of keys that nobody gets a certificate for, as anybody may have them: a line for each,
    the SHA-256 of its SubjectPublicKeyInfo in hexadecimal."""

    debian_weak_keys: tuple[Path, ...] = ()
    """Lists of the RSA keys that Debian's OpenSSL made in 2006 to 2008, in the form of Debian's
    package `openssl-blacklist`, such as `blacklist.RSA-2048`."""

    caa_identities: tuple[Domain, ...] = ()
    """The names by which CAA records mean this authority. Unset: `hostname`."""

    caa_max_age: Annotated[timedelta, lasting("1m", "8h")] = timedelta(hours=7)
    """How old a look at CAA may be when a certificate is issued; then there is another look."""

    report_prevented: bool = False
    """Whether domains that ask for it in their CAA records (`iodef`) are told what these have
    prevented: by HTTPS, or by mail through this machine's node; a host once a day at most."""

    terms: Annotated[str, Parsed(parse_https_url, "https URL")] | None = None
    """The URL of the terms that clients agree to. Unset: there are none."""

    website: Annotated[str, Parsed(parse_https_url, "https URL")] | None = None
    """A page about the authority, for people."""

    contacts: tuple[Annotated[str, Parsed(parse_contact, "URI")], ...] = ()
    """Who is responsible for the authority: `mailto:` or `https:`. Unset: `contact`."""

    needs_external_account: bool = False
    """Whether only those can open an account to whom you gave a key (EAB):
    `letterlock ca account-key`."""

    crl_listen: tuple[ListenAddress, ...] = (
        ListenAddress("0.0.0.0", CRL_PORT),  # noqa: S104 - whoever verifies comes from anywhere
        ListenAddress("::", CRL_PORT),
    )
    """Where CRLs, the issuer's certificate and the root are served, over plain HTTP: they are
    signed, and to verify the certificate of an https URL they might be needed themselves."""

    crl_url: Annotated[str, Parsed(parse_crl_url, "http URL")] | None = None
    """The URL of the CRLs' folder, which certificates have in them: it must stay as it is while
    they live. Unset: `http://HOSTNAME:PORT/crl/`, with the port of `crl_listen`."""

    crl_shards: Annotated[int, Between(1, 127)] = 1
    """Over how many CRLs new certificates are spread. One for each 100,000 certificates that live
    is enough: with all of those revoked it has 5 MB. More later is no harm."""

    crl_lifetime: Annotated[timedelta, lasting("1h", "10d")] = timedelta(days=7)
    """How long a CRL is good for. It is made anew after a revocation, and in time."""

    names: CaNamesSection = field(default_factory=CaNamesSection)
    validation: CaValidationSection = field(default_factory=CaValidationSection)
    limits: CaLimitsSection = field(default_factory=CaLimitsSection)
    pkcs11: CaTokenSection = field(default_factory=CaTokenSection)
    incidents: CaIncidentsSection = field(default_factory=CaIncidentsSection)
    audit: CaAuditSection = field(default_factory=CaAuditSection)
    status: CaStatusSection = field(default_factory=CaStatusSection)

    def read_database_url(self) -> str | None:
        """Give the database's address, from `database_url_file` if that is set; raises OSError."""
        if self.database_url_file is None:
            return self.database_url
        return self.database_url_file.read_text("utf-8").partition("\n")[0].strip()

    def find_profile(self) -> str:
        """Give the name of the profile that is used where none is asked for."""
        return self.default_profile or self.profiles[0].name
