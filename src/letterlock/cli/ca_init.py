"""`letterlock ca init`: an authority is made, and the file with its settings."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.init import SYSTEM_DATA, SYSTEM_FOLDER
from letterlock.cli.options import config_option, json_option, load_config_or_fail, print_json

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.base.domains import Domain

CONFIG_NAME = "letterlock.toml"
PRIVATE_NETWORKS = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "::1/128",
)


@click.command()
@click.argument("hostname", required=False)
@config_option
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write the settings. Default: /etc/letterlock for root, else the current folder.",
)
@click.option("--name", metavar="TEXT", help="What the authority is called. Default: Letterlock.")
@click.option(
    "--permit",
    multiple=True,
    metavar="DOMAIN-OR-NETWORK",
    help="Names that it is for; give it once for each. They bind its own certificate too.",
)
@click.option(
    "--private",
    "is_private",
    is_flag=True,
    help="For a private network: names may lead to private addresses, and DNS need not be signed.",
)
@json_option(
    {
        "config": "the file with the settings",
        "files": "the files that were written",
        "directory": "the URL that clients of ACME ask",
        "root": "the certificate that whoever trusts the authority needs",
        "keep_safe": "the files to move off this machine: the root's key, and its passphrase",
        "problem": "what `ca serve` would not start with, or null",
    }
)
def init(
    hostname: str | None,
    config_path: Path | None,
    folder: Path | None,
    *,
    as_json: bool,
    **options: "str | bool | tuple[str, ...] | None",
) -> None:
    """Make an authority on HOSTNAME, which is this machine's name where it is not given.

    Writes letterlock.toml and, in its data folder, a root and the certificate and key that issue.
    With --config that file's settings are used as they are. Nothing is ever overwritten.
    """
    written: list[Path] = []
    if config_path is None:
        config_path = _write_settings(hostname, folder, options)
        written.append(config_path)
    elif hostname or folder or any(options.values()):
        raise click.UsageError("--config has the settings: give no others beside it")
    config = load_config_or_fail(config_path)
    made, directory = _make(config)
    problem = _find_problem(config)
    root, root_key, root_passphrase = made[0], made[1], made[2]
    if as_json:
        print_json(
            {
                "config": str(config_path),
                "files": [str(each) for each in (*written, *made)],
                "directory": directory,
                "root": str(root),
                "keep_safe": [str(root_key), str(root_passphrase)],
                "problem": problem,
            }
        )
        return
    for path in (*written, *made):
        click.echo(f"wrote {path}")
    click.echo(
        f"\nMove {root_key.name} off this machine, and {root_passphrase.name} to somewhere else: "
        f"they are needed once a year for the root's CRL, and for a new issuing key.\n"
        f"Whoever is to trust it gets {root}.\n"
    )
    if problem is not None:
        click.echo(f"First: {problem}")
    click.echo(f"Then: letterlock ca serve --config {config_path}\nClients of ACME ask {directory}")


def _make(config: "Config") -> tuple[tuple[Path, ...], str]:
    """Make keys, certificates and the database; gives the files, and the directory's URL."""
    try:
        from letterlock.node.ca.making import own_folder  # noqa: PLC0415 - not for -h
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"{error.name} is not installed: pip install 'letterlock[ca]'", ExitCode.WRONG_USAGE
        ) from None
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not for -h
    from letterlock.node.ca.making import make_authority_with_store  # noqa: PLC0415 - as above
    from letterlock.node.ca.rules import find_port, find_url  # noqa: PLC0415 - as above

    clock = SystemClock()
    with own_folder(config):
        made = asyncio.run(make_authority_with_store(config, clock))
    return made.paths, f"{find_url(config, find_port(config))}/directory"


def _find_problem(config: "Config") -> str | None:
    """Find what keeps names from being looked at, as a resolver that does not validate."""
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not for -h
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - as above
    from letterlock.node.ca.perspectives import make_own_resolver, make_validator  # noqa: PLC0415 - lazy, for -h

    clock = SystemClock()
    try:
        make_validator(config, make_own_resolver(config), clock, clock.now())
    except LocalError as error:
        return str(error)
    return None


def _write_settings(
    hostname: str | None,
    folder: Path | None,
    options: Mapping[str, "str | bool | tuple[str, ...] | None"],
) -> Path:
    from letterlock.base.config.example import format_example  # noqa: PLC0415 - not for -h

    if folder is None:
        folder = SYSTEM_FOLDER if os.geteuid() == 0 else Path()
    path = folder / CONFIG_NAME
    if os.path.lexists(path):
        message = f"{path}: is there already: to use it as it is, say --config {path}"
        raise CommandFailed(message, ExitCode.WRONG_USAGE)
    host = _parse_host(hostname)
    is_system = folder.absolute() == SYSTEM_FOLDER
    settings: dict[str, object] = {
        "hostname": host,
        "domains": [host],
        "contact": f"postmaster@{host}",
        "data_dir": SYSTEM_DATA if is_system else "data",
    }
    if name := options["name"]:
        if not str(name).isprintable():
            message = f"--name {name!r}: a text of printable characters"
            raise CommandFailed(message, ExitCode.WRONG_USAGE)
        settings["ca.name"] = name
    settings |= _take_permitted(host, options["permit"])
    if options["is_private"]:
        settings |= {
            "ca.validation.needs_dnssec": False,
            "ca.validation.private_names": True,
            "ca.validation.networks": PRIVATE_NETWORKS,
        }
    _write_new(path, format_example(settings, only="ca"))
    return path


def _parse_host(text: str | None) -> "Domain":
    from letterlock.base.domains import DomainError, parse_domain  # noqa: PLC0415 - not for -h

    name = text or os.uname().nodename
    try:
        host = parse_domain(name)
    except DomainError as error:
        raise CommandFailed(f"HOSTNAME {name!r}: {error}", ExitCode.WRONG_USAGE) from None
    if "." not in host:
        # RFC 3986 lets it be in a URL; linters of certificates, and many programs, do not.
        message = f"HOSTNAME {name!r}: give the whole name by which clients reach it, with a dot"
        raise CommandFailed(message, ExitCode.WRONG_USAGE)
    if host.rpartition(".")[2].isdigit():
        message = f"HOSTNAME {name!r}: an address is no name: give the one that leads there"
        raise CommandFailed(message, ExitCode.WRONG_USAGE)
    return host


def _take_permitted(host: "Domain", permitted: object) -> dict[str, object]:
    """Give the settings of names; the authority's own name must be among them."""
    from letterlock.base.config.values import parse_network  # noqa: PLC0415 - not for -h
    from letterlock.base.domains import DomainError, parse_domain  # noqa: PLC0415 - as above

    assert isinstance(permitted, tuple)
    domains: list[str] = []
    networks: list[str] = []
    for text in permitted:
        try:
            networks.append(str(parse_network(text)))
        except ValueError:
            try:
                domains.append(parse_domain(text))
            except DomainError as error:
                message = f"--permit {text!r}: no network, and as a domain: {error}"
                raise CommandFailed(message, ExitCode.WRONG_USAGE) from None
    is_own = any(host == each or host.endswith(f".{each}") for each in domains)
    if permitted and not is_own:
        message = f"--permit: it must allow {host}, or the authority could not certify itself"
        raise CommandFailed(message, ExitCode.WRONG_USAGE)
    found: dict[str, object] = {}
    if domains:
        found["ca.names.permitted_domains"] = domains
    if networks:
        found["ca.names.permitted_networks"] = networks
    return found


def _write_new(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o644), "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror or error}"
        raise CommandFailed(message, ExitCode.WRONG_USAGE) from None
