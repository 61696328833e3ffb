"""The demo's authority: made and run as by `letterlock ca init` and `ca serve`, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import Clock
from letterlock.base.config.load import FoundConfig
from letterlock.base.config.sections import Config
from letterlock.base.config.values import ListenAddress
from letterlock.base.errors import LocalError
from letterlock.base.log import make_stream_log
from letterlock.demo.configs import format_authority
from letterlock.demo.files import write_files
from letterlock.demo.nodes import CONFIG_NAME, MAIL_LOG_NAME
from letterlock.demo.setting import AUTHORITY_IP
from letterlock.node.listeners import Listeners
from letterlock.storage.ca.kept import Issued

MAX_SHOWN = 100
ONLY_SHARD = 1


@dataclass(frozen=True, slots=True)
class DemoAuthority:
    """An authority that runs. `root` is what those have who trust it."""

    folder: Path
    config: Config
    directory: str
    root: x509.Certificate

    @property
    def config_file(self) -> Path:
        return self.folder / CONFIG_NAME

    @property
    def root_pem(self) -> str:
        return self.root.public_bytes(Encoding.PEM).decode()

    async def list_issued(self, clock: Clock) -> list[Issued]:
        """List what it issued to others, from its database, as `letterlock ca list` does."""
        from letterlock.node.ca.stores import open_store  # noqa: PLC0415 - an extra

        async with open_store(self.config, clock) as store:
            listed = await store.list_certificates(0, MAX_SHOWN)
        return [each.issued for each in listed if each.issued.names]

    async def list_revoked(self, issued: Issued, clock: Clock) -> set[int]:
        """List the serial numbers on the CRL of whoever issued this one."""
        from letterlock.node.ca.stores import open_store  # noqa: PLC0415 - an extra

        async with open_store(self.config, clock) as store:
            crl = await store.load_crl(issued.certificate.name.key_identifier, ONLY_SHARD)
        if crl is None:
            return set()
        return {each.serial_number for each in x509.load_der_x509_crl(crl.der)}


@asynccontextmanager
async def running_authority(
    folder: Path, resolver: ListenAddress, http_port: int, clock: Clock
) -> AsyncIterator[DemoAuthority]:
    """Make one in an empty folder and run it, while the block runs. Raises LocalError.

    It looks for http-01 at `http_port`. What the caller's block raises comes in an exception group.
    """
    try:
        from letterlock.node.ca import making, program  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise LocalError(
            f"the demo runs an authority, and {error.name} is not installed: "
            "pip install 'letterlock[ca]'"
        ) from None
    with closing(Listeners()) as acme, closing(Listeners()) as plain:
        for listeners in (acme, plain):
            listeners.open([ListenAddress(AUTHORITY_IP, 0)], workers=1)
        places = (acme.addresses[0], plain.addresses[0])
        text = format_authority(*places, http_port, str(resolver))
        write_files(folder, {CONFIG_NAME: text})
        found = FoundConfig(folder / CONFIG_NAME)
        config = found.load()
        config.data_dir.mkdir(mode=0o700)
        made = await making.make_authority_with_store(config, clock)
        sockets = program.Sockets(acme.groups[0], plain.groups[0])
        with (folder / MAIL_LOG_NAME).open("w", encoding="utf-8") as stream:
            log = make_stream_log(clock, config.hostname, stream=stream)
            running = program.AuthorityProgram(config, found, clock, log, sockets)
            async with asyncio.TaskGroup() as tasks:
                is_ready = asyncio.Event()
                tasks.create_task(running.run(lambda _: is_ready.set()))
                await is_ready.wait()
                directory = f"https://{config.hostname}:{places[0].port}/directory"
                yield DemoAuthority(folder, config, directory, made.root_certificate)
                running.stop()
