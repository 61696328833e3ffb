"""What takes reports by HTTPS, as the settings say, and the addresses that it takes them at."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.log import Log
from letterlock.network.post_server import Posts, Room
from letterlock.node.intake import make_received_store
from letterlock.node.shared_database import name_process
from letterlock.services.intake.group_keeping import GroupKeeper
from letterlock.services.intake.post_paths import KeyFileError, PostPaths, make_path, take_keys
from letterlock.services.intake.posts import PostIntake, PostRules
from letterlock.storage.durable import describe
from letterlock.storage.written_once import write_once

HTTPS_PORT = 443
MAX_KEY_FILE_OCTETS = 16 * 1024


@dataclass(frozen=True, slots=True)
class PostService:
    """What a server on port 443 needs, and what keeps what it took."""

    posts: Posts
    keeper: GroupKeeper

    async def run(self) -> None:
        """Keep what comes, until cancelled."""
        await self.keeper.run()


def make_post_service(config: Config, number: int, clock: Clock, log: Log) -> PostService | None:
    """Make it; None where it is switched off. `number` is the process's. Raises LocalError."""
    section, keep = config.tlsrpt.posts, config.tlsrpt.keep_received
    if not section.enabled:
        return None
    name = f"{name_process(config, number)}/posted"
    keeper = GroupKeeper(make_received_store(config, name, clock), clock, keep)
    paths = PostPaths(load_keys(config), config.domains)
    hosts = frozenset((config.hostname, *config.publishing.mx_hosts))
    rules = PostRules(paths, hosts, section.per_client, section.per_domain, keep)
    intake = PostIntake(rules, keeper, clock, log)
    return PostService(Posts(intake, clock, Room()), keeper)


def load_keys(config: Config) -> tuple[bytes, ...]:
    """Load the secrets that addresses are made from; makes one where there is none.

    Raises LocalError.
    """
    path = config.tlsrpt.posts.key_file
    keys = find_keys(config)
    if keys is None:
        # Another process may do the same: what is there then counts.
        with suppress(LocalError):
            write_once(path, f"{secrets.token_urlsafe(32)}\n".encode())
        keys = find_keys(config)
    if keys is None:
        raise refuse_setting(("tlsrpt", "posts", "key_file"), f"{path}: it cannot be made")
    return keys


def find_keys(config: Config) -> tuple[bytes, ...] | None:
    """Load them; None where there is no such file. Raises LocalError."""
    path = config.tlsrpt.posts.key_file
    try:
        return take_keys(_read(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(describe(error)) from error
    except ValueError as error:
        reason = str(error) if isinstance(error, KeyFileError) else "it is no text"
        raise refuse_setting(("tlsrpt", "posts", "key_file"), f"{path}: {reason}") from error


def make_address(config: Config, key: bytes, domain: Domain) -> str:
    """Make the URI for a domain's TLSRPT record."""
    ports = [each.port for each in config.publishing.mta_sts.listen if each.port]
    port = "" if HTTPS_PORT in ports or not ports else f":{ports[0]}"
    return f"https://{config.hostname}{port}{make_path(key, domain)}"


def find_address(config: Config, domain: Domain) -> str | None:
    """Give the URI to publish; None where posts are not taken, or no node has made the secret yet.

    Raises LocalError.
    """
    keys = find_keys(config) if config.tlsrpt.posts.enabled else None
    return None if keys is None else make_address(config, keys[0], domain)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_KEY_FILE_OCTETS).decode("ascii")
