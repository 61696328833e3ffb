"""One process of an authority, within the test: it says how it is, reloads, and shows itself."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from socket import create_server, socket

import pytest
from cryptography import x509

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.config.load import FoundConfig, load_config
from letterlock.base.errors import LocalError
from letterlock.node.ca import own_certificate
from letterlock.node.ca.making import make_authority_with_store
from letterlock.node.ca.own_certificate import OwnCertificate, ServerFiles, make_own_profile
from letterlock.node.ca.program import AuthorityProgram, Sockets
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.services.ca.halting import halt, resume
from tests.authority_running import AuthorityFiles, InnerSettings, inner_authority
from tests.fakes import FakeLog
from tests.network.certificates import issue, write_pair
from tests.services.ca.test_working import until

PROFILE = make_own_profile(NameRules())


@dataclass
class Program:
    """A program that runs, and what it told."""

    files: AuthorityFiles
    clock: Clock
    log: FakeLog
    sockets: Sockets
    program: AuthorityProgram
    told: list[str] = field(default_factory=list)

    async def look(self) -> x509.Certificate:
        """Shake hands, and give the certificate that is shown."""
        context = ssl.create_default_context(cafile=self.files.root)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.sockets.port, ssl=context, server_hostname="localhost"
        )
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        assert der is not None
        return x509.load_der_x509_certificate(der)

    async def fetch(self, path: str) -> bytes:
        """Ask the port of CRLs."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.sockets.plain_port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer


async def make(folder: Path) -> AuthorityFiles:
    """Do what `ca init` does, in this process."""
    files = AuthorityFiles(folder)
    await make_authority_with_store(load_config(files.write()), SystemClock())
    return files


def listen() -> socket:
    return create_server(("127.0.0.1", 0))


@asynccontextmanager
async def running(files: AuthorityFiles) -> AsyncIterator[Program]:
    with listen() as acme, listen() as plain:
        clock, log, sockets = SystemClock(), FakeLog(), Sockets([acme], [plain])
        found = FoundConfig(files.config)
        program = AuthorityProgram(load_config(files.config), found, clock, log, sockets)
        running = Program(files, clock, log, sockets, program)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(program.run(running.told.append))
            await until(lambda: running.told != [] or task.done())
            yield running
            program.stop()


async def test_it_tells_how_it_is_serves_what_it_published_and_reloads(tmp_path: Path) -> None:
    files = await make(tmp_path)
    async with running(files) as program:
        first = await program.look()
        # The CRL of its own certificate is where that says it is.
        points = first.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        names = points[0].full_name
        assert names is not None
        path = names[0].value.removeprefix("http://crl.example")
        await until(lambda: any("publishing CRLs" in each for each in program.log.texts))
        async with asyncio.timeout(60):
            while b"200 OK" not in (answer := await program.fetch(path)):  # noqa: ASYNC110 - ours
                await asyncio.sleep(0.02)
        assert b"application/pkix-crl" in answer
        for nowhere in ("/", "/crl/", "/crl/0011223344556677/1.crl", "/directory"):
            assert b"404 Not Found" in await program.fetch(nowhere)
        certificate, key = write_pair(tmp_path, issue(("localhost",)), "given")
        files.change("ca", server_certificate={"certificate": str(certificate), "key": str(key)})
        files.write()
        program.program.reload()
        await until(lambda: program.told == ["READY=1", "RELOADING=1", "READY=1"])
        with pytest.raises(ssl.SSLCertVerificationError):
            # Those are of an authority that nobody here trusts.
            await program.look()
    assert program.told[-1] == "STOPPING=1"
    assert "settings and keys were read again" in program.log.texts


async def test_files_that_are_given_are_shown_and_nothing_is_issued(tmp_path: Path) -> None:
    files = await make(tmp_path)
    certificate, key = write_pair(tmp_path, issue(("localhost",)), "given")
    files.change("ca", server_certificate={"certificate": str(certificate), "key": str(key)})
    files.write()
    async with running(files) as program:
        with pytest.raises(ssl.SSLCertVerificationError):
            await program.look()
        assert not any("was issued" in each for each in program.log.texts)


class Context:
    """A TLS context that writes down what it loads."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load_cert_chain(self, certfile: str, keyfile: str | None = None) -> None:
        del keyfile
        self.loaded.append(certfile)


async def test_our_own_certificate_is_renewed_at_two_thirds_of_its_life(tmp_path: Path) -> None:
    async with inner_authority(tmp_path) as inner:
        tools, section = inner.assembled.tools, inner.config.ca
        own = OwnCertificate(section, "ca.example", inner.clock, inner.log)
        context = Context()
        assert await own.ensure(tools, PROFILE) == own_certificate.LOOK_EVERY
        own.show(context)
        first = own.files.certificate.read_bytes()
        inner.clock.move(timedelta(days=59))
        await own.ensure(tools, PROFILE)
        own.show(context)
        assert own.files == ServerFiles(section.folder / "server.pem")
        assert own.files.certificate.read_bytes() == first
        assert len(context.loaded) == 1
        inner.clock.move(timedelta(days=2))
        await own.ensure(tools, PROFILE)
        own.show(context)
        assert own.files.certificate.read_bytes() != first
        assert len(context.loaded) == 2
        # A file that was spoiled, or is for another host, is replaced at once.
        own.files.certificate.write_bytes(b"nothing")
        await own.ensure(tools, PROFILE)
        other = OwnCertificate(section, "other.example", inner.clock, inner.log)
        await other.ensure(tools, PROFILE)
        leaf = x509.load_pem_x509_certificate(own.files.certificate.read_bytes())
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["other.example"]


async def test_while_issuance_is_halted_the_old_one_is_shown_until_it_ends(tmp_path: Path) -> None:
    async with inner_authority(tmp_path) as inner:
        tools = inner.assembled.tools
        own = OwnCertificate(inner.config.ca, "ca.example", inner.clock, inner.log)
        await own.ensure(tools, PROFILE)
        await halt(inner.store, "a fault", "operator test", inner.clock.now())
        inner.clock.move(timedelta(days=61))
        assert await own.ensure(tools, PROFILE) == own_certificate.RETRY_EVERY
        assert "a fault" in inner.log.texts[-1]
        inner.clock.move(timedelta(days=30))
        with pytest.raises(LocalError, match="a fault"):
            await own.ensure(tools, PROFILE)
        await resume(inner.store, "operator test", inner.clock.now())
        assert await own.ensure(tools, PROFILE) == own_certificate.LOOK_EVERY


async def test_who_is_told_to_reload_and_to_end_at_once_ends(tmp_path: Path) -> None:
    async with asyncio.timeout(60), running(await make(tmp_path)) as program:
        for _ in range(2):
            program.program.reload()
            await until(lambda: program.told[-1] == "READY=1" and len(program.told) > 2)
    assert program.told[-1] == "STOPPING=1"


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://[2001:DB8:0::1]:9", "2001:db8::1"), ("https://CA.Example:9", "ca.example")],
)
async def test_the_host_of_our_url_is_written_as_certificates_have_it(
    tmp_path: Path, url: str, host: str
) -> None:
    settings = InnerSettings(sections={"ca": {"url": url}})
    async with inner_authority(tmp_path, settings) as inner:
        assert inner.assembled.host == host
        own = OwnCertificate(inner.config.ca, host, inner.clock, inner.log)
        for _ in range(2):
            await own.ensure(inner.assembled.tools, PROFILE)
        assert sum("was issued" in each for each in inner.log.texts) == 1
