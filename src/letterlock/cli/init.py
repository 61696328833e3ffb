"""`letterlock init`: a configuration to start from, a certificate, the DNS records to publish."""

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.first_look import (
    describe_remark_keys,
    describe_remarks,
    format_remarks,
    look_at_host,
)
from letterlock.cli.options import (
    json_option,
    print_json,
    resolver_option,
    take_resolver,
    use_resolver,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from letterlock.base.config.sections import Config
    from letterlock.base.domains import Domain
    from letterlock.protocols.pki.throwaway_ca import Issued
    from letterlock.services.publish.records import IpAddress

SYSTEM_FOLDER = Path("/etc/letterlock")
SYSTEM_DATA = "/var/lib/letterlock"
CERTIFICATE_DAYS = 365
SECRET_MODE = 0o600
ACCOUNT = "letterlock"
"""Whom a node that root starts becomes, where there is such an account."""

AUTHORITIES = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
"""Short names for directories: those whose URLs people look up every time."""

_ACME_NOTE = """\
; The node gets its certificate itself, proved by http-01 on port 80; until then it shows one that
; signs itself. Its TLSA record is told by `letterlock dns records` once the key is there.
"""
_CERTIFICATE_NOTE = """\
; The certificate made here signs itself: enough to encrypt mail from senders that don't verify,
; which is nearly all, and for DANE. Replace it by one of a public authority before you publish
; MTA-STS. Once its TLSA record is published its key must not just be replaced: senders that verify
; would keep their mail. A new key is published first, beside it.
"""


@click.command()
@click.argument("domain")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write. Default: /etc/letterlock for root, else the current folder.",
)
@click.option("--hostname", metavar="NAME", help="This host's name. Default: mx1.DOMAIN.")
@click.option(
    "--acme",
    metavar="AUTHORITY",
    help="Have the node get its certificates by ACME: letsencrypt, letsencrypt-staging, or the "
    "https URL of an authority's directory.",
)
@click.option("--agree-to-terms", is_flag=True, help="Agree to that authority's terms of service.")
@click.option(
    "--offline",
    is_flag=True,
    help="Don't look at this host: its addresses and names in DNS, its ports, its way out.",
)
@resolver_option
@json_option(
    {
        "files": "the files that were written",
        "hostname": "the name of the host",
        "records": "the DNS records to publish, as lines of a zone file",
        **describe_remark_keys("remarks"),
    }
)
def init(  # noqa: PLR0913 - each is an option
    domain: str,
    folder: Path | None,
    hostname: str | None,
    acme: str | None,
    *,
    agree_to_terms: bool,
    offline: bool,
    resolver: str | None,
    as_json: bool,
) -> None:
    """Write letterlock.toml for DOMAIN, a self-signed certificate, and the DNS records to publish.

    With --acme no certificate is written: the node gets one. Nothing is ever overwritten.

    Then it looks at this host: at its addresses and their names, at what DNS says of DOMAIN now,
    whether port 25 of others is reached (of gmail.com or outlook.com), and who has our ports. What
    it finds is to be looked at, and keeps nothing from being written.
    """
    if folder is None:
        folder = SYSTEM_FOLDER if os.geteuid() == 0 else Path()
    name = _take_domain("DOMAIN", domain)
    host = _take_domain("--hostname", hostname or _find_hostname(name))
    asked = take_resolver(resolver)
    addresses = () if offline else _find_addresses()
    if acme is None:
        issued = _make_certificate(host)
        settings = _use_files()
        records = format_records(name, host, issued.chain_der, addresses) + _CERTIFICATE_NOTE
        pair = [
            _NewFile("certificate.pem", 0o644, issued.chain_pem.decode()),
            _NewFile("key.pem", SECRET_MODE, issued.key_pem.decode()),
        ]
    else:
        settings = _use_acme(acme, is_agreed=agree_to_terms)
        records = format_records(name, host, (), addresses) + _ACME_NOTE
        pair = []
    account = _find_account()
    if account is not None:
        settings = {"node.user": account.pw_name, **settings}
    content = format_config(folder, name, host, settings)
    files = [
        _NewFile("letterlock.toml", 0o644, content),
        *pair,
        _NewFile("dns-records.txt", 0o644, records),
    ]
    paths = _write_all(folder, files, account)
    remarks = (
        () if offline else look_at_host(use_resolver(_read(content, paths[0]), asked), is_new=True)
    )
    if as_json:
        lines = [line for line in records.splitlines() if not line.startswith(";")]
        document = {"files": list(map(str, paths)), "hostname": host, "records": lines}
        print_json(document | {"remarks": describe_remarks(remarks)})
        return
    for path in paths:
        click.echo(f"wrote {path}")
    click.echo(f"\nPublish these records:\n\n{records}")
    if remarks:
        click.echo("Look at this:\n\n{}\n".format("\n".join(format_remarks(remarks))))
    has_terms = acme is not None and not agree_to_terms
    click.echo("What is left to do:\n")
    steps = _describe_next(name, paths[0], has_terms=has_terms, has_user=account is not None)
    for number, step in enumerate(steps, start=1):
        click.echo(f"{number}. {step}")


def _find_addresses() -> "tuple[IpAddress, ...]":
    """Find this machine's addresses of the Internet; sends nothing."""
    from letterlock.network import own_addresses  # noqa: PLC0415 - not for -h
    from letterlock.network.public_addresses import is_public  # noqa: PLC0415 - as above

    return tuple(filter(is_public, own_addresses.find_outgoing_addresses()))


def _read(content: str, path: Path) -> "Config":
    from letterlock.base.config.load import parse_config  # noqa: PLC0415 - not for -h

    return parse_config(content, path)


def _take_domain(what: str, text: str) -> "Domain":
    from letterlock.base.domains import DomainError, parse_domain  # noqa: PLC0415 - not for -h

    try:
        return parse_domain(text)
    except DomainError as error:
        raise CommandFailed(f"{what} {text!r}: {error}", ExitCode.WRONG_USAGE) from None


def _find_account() -> "pwd.struct_passwd | None":
    """Give whom a node that root starts becomes; None: nobody of that name, or we are not root."""
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None
    return account if os.geteuid() == 0 else None


def _describe_next(
    domain: str, config: Path, *, has_terms: bool, has_user: bool
) -> "Iterator[str]":
    """Say what is left to do, in order.

    `has_terms`: the authority's are not agreed to yet. `has_user`: `node.user` is set.
    """
    if has_terms:
        yield "[certificates]: agree_to_terms = true, once you have read the authority's terms"
    yield f"[local]: name the mailboxes of {domain}; till then postmaster alone gets mail"
    if os.geteuid() == 0 and not has_user:
        yield '[node]: user = "letterlock", or another account, if root starts the node'
    yield f"letterlock config check --config {config}"
    yield f"letterlock serve --config {config}"
    yield f"letterlock dns check --config {config} (what is not published yet, and what is wrong)"
    yield f"letterlock check {domain} (whose mail reaches you: best asked from another network)"


class _NewFile:
    """A file to write; `mode` is final from its first moment."""

    def __init__(self, name: str, mode: int, content: str) -> None:
        self.name = name
        self.mode = mode
        self.content = content


def _use_files() -> "Mapping[str, object]":
    from letterlock.base.config.inbound import CertificateFiles  # noqa: PLC0415 - not for -h

    pair = CertificateFiles(Path("certificate.pem"), Path("key.pem"))
    return {"tls.certificates": [pair]}


def _use_acme(text: str, *, is_agreed: bool) -> "Mapping[str, object]":
    from letterlock.base.config.certificates import Authority  # noqa: PLC0415 - not for -h
    from letterlock.base.config.values import parse_https_url  # noqa: PLC0415 - as above

    try:
        directory = parse_https_url(AUTHORITIES.get(text, text))
    except ValueError as error:
        known = ", ".join(AUTHORITIES)
        message = f"--acme {text!r}: must be one of {known}, or {error}"
        raise CommandFailed(message, ExitCode.WRONG_USAGE) from None
    return {"certificates.authorities": [Authority(directory, agree_to_terms=is_agreed)]}


def format_config(
    folder: Path, domain: str, hostname: str, settings: "Mapping[str, object]"
) -> str:
    """Write the configuration; relative paths in it start at its folder."""
    from letterlock.base.config.example import format_example  # noqa: PLC0415 - not for -h

    is_system = folder.absolute() == SYSTEM_FOLDER
    return format_example(
        {
            "hostname": hostname,
            "domains": [domain],
            "contact": f"postmaster@{domain}",
            "data_dir": SYSTEM_DATA if is_system else "data",
            **settings,
        }
    )


def format_records(
    domain: "Domain",
    hostname: "Domain",
    chain: tuple[bytes, ...] = (),
    addresses: "tuple[IpAddress, ...]" = (),
) -> str:
    """Write what `dns records` would, of a node that was not started yet."""
    from letterlock.services.publish.records import (  # noqa: PLC0415 - not for -h
        OwnDomain,
        OwnHost,
        format_zone,
        plan_records,
    )

    host = OwnHost(hostname, addresses=addresses, chains=(chain,) if chain else ())
    plan = plan_records(OwnDomain(domain, (host,)))
    return format_zone(plan.records, plan.notes)


def _find_hostname(domain: str) -> str:
    """Give the machine's name if it is below the domain, else mx1 there."""
    name = os.uname().nodename.lower()
    return name if name.endswith(f".{domain}") else f"mx1.{domain}"


def _make_certificate(hostname: str) -> "Issued":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not for -h
    from letterlock.protocols.pki.throwaway_ca import self_signed  # noqa: PLC0415 - cryptography

    return self_signed([hostname], now=SystemClock().now(), days=CERTIFICATE_DAYS)


def _write_all(
    folder: Path, files: list[_NewFile], account: "pwd.struct_passwd | None"
) -> list[Path]:
    """Write the files, all or none as far as can be seen before; a secret is the account's."""
    paths = [folder / file.name for file in files]
    for path in paths:
        if os.path.lexists(path):
            raise CommandFailed(
                f"{path}: is there already and stays as it is; name another folder with --dir",
                ExitCode.WRONG_USAGE,
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, file in zip(paths, files, strict=True):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(path, flags, file.mode), "w", encoding="utf-8") as stream:
                if account is not None and file.mode == SECRET_MODE:
                    os.fchown(stream.fileno(), account.pw_uid, account.pw_gid)
                stream.write(file.content)
    except OSError as error:
        place = error.filename or folder
        reason = error.strerror or str(error)
        raise CommandFailed(f"{place}: {reason}", ExitCode.WRONG_USAGE) from None
    return paths
