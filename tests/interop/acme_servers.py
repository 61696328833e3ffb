"""Servers that have certificates without being told: caddy, and a program of ours with autocert.

Both prove their names while they serve TLS; the first handshake for a name may have to wait.
"""

import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509

from tests import peers
from tests.interop.acme_programs import PATIENCE, Client, Said, call

SOURCE = Path(__file__).with_name("autocert_program.go")
_PACKAGES = "/usr/share/gocode"
"""Where Debian has the sources of Go's packages."""


class Autocert(Client):
    """golang.org/x/crypto/acme, and autocert over it, of Debian."""

    kind = "autocert"

    def build(self) -> Path:
        """Build the program, once for each world; gives its path."""
        program = self.world.folder / "autocert_program"
        if not program.exists():
            variables = {
                "GO111MODULE": "off",
                "GOPROXY": "off",
                "GOPATH": _PACKAGES,
                "GOCACHE": str(self.folder / "go-cache"),
            }
            words = [peers.program("go"), "build", "-o", program, SOURCE]
            said = call(words, variables, self.folder)
            assert said.code == 0, said.text
        return program

    def call(self, *words: object) -> Said:
        """Go through an account's life step by step, for one name."""
        place = ["-http", f"{self.address}:{self.world.http_port}"]
        return call([*self._words("steps", *words), *place], {}, self.folder)

    @property
    def bound(self) -> list[str]:
        """How its account is bound to another one."""
        return ["-kid", self.world.kid, "-mac", self.world.mac_key]

    @contextmanager
    def serving(self, *names: str, by_http: bool = False) -> Iterator[None]:
        """Serve TLS for these names; the first is for clients that send none.

        `by_http`: the authority finds http-01 only, as TLS is at another port.
        """
        port = self.world.tls_port
        words = ["-cache", str(self.folder / "cache"), "-default", names[0]]
        if by_http:
            port += 1
            words += ["-http", f"{self.address}:{self.world.http_port}"]
        words += ["-tls", f"{self.address}:{port}"]
        with _running(self._words("serve", "-hosts", ",".join(names), *words), self.folder):
            wait_for_listener(self.address, port)
            yield

    def _words(self, verb: str, *more: object) -> list[str]:
        fixed = ["-directory", self.world.directory, "-trust", self.world.trust]
        return [str(word) for word in (self.build(), verb, *fixed, *more)]


class Caddy(Client):
    """Caddy, of Debian: certmagic over acmez."""

    kind = "caddy"

    @contextmanager
    def serving(self, *names: str, by_http: bool = False, is_bound: bool = False) -> Iterator[None]:
        """Serve TLS for these names; the first is for clients that send none.

        `by_http`: by http-01 only, else by tls-alpn-01 only. `is_bound`: to an external account.
        """
        config = self.folder / "caddy.json"
        config.write_text(json.dumps(self._describe(names, by_http=by_http, is_bound=is_bound)))
        words = [str(peers.program("caddy", "caddy")), "run", "--config", str(config)]
        with _running(words, self.folder):
            wait_for_listener(self.address, self.world.tls_port)
            yield

    def _describe(self, names: Sequence[str], *, by_http: bool, is_bound: bool) -> object:
        world = self.world
        issuer = {
            "module": "acme",
            "ca": world.directory,
            "email": "postmaster@example.org",
            "trusted_roots_pem_files": [str(world.trust)],
            "challenges": {
                "bind_host": self.address,
                "http": {"alternate_port": world.http_port, "disabled": not by_http},
                "tls-alpn": {"alternate_port": world.tls_port, "disabled": by_http},
            },
        }
        if is_bound:
            issuer["external_account"] = {"key_id": world.kid, "mac_key": world.mac_key}
        server = {
            "listen": [f"{self.address}:{world.tls_port}"],
            "automatic_https": {"disable_redirects": True},
            "tls_connection_policies": [{"default_sni": names[0]}],
            "routes": [{"match": [{"host": list(names)}]}],
        }
        http = {
            "http_port": world.http_port,
            "https_port": world.tls_port,
            "servers": {"one": server},
        }
        policies = [{"subjects": list(names), "issuers": [issuer]}]
        return {
            "admin": {"disabled": True},
            "storage": {"module": "file_system", "root": str(self.folder / "storage")},
            "apps": {"http": http, "tls": {"automation": {"policies": policies}}},
        }


@contextmanager
def _running(words: Sequence[str], folder: Path) -> Iterator[None]:
    """Run a server; what it says is in `said` in its folder."""
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(
            words,
            env={**os.environ, "HOME": str(folder)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        ) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def wait_for_listener(host: str, port: int) -> None:
    """Wait until somebody listens there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, port), PATIENCE).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens at {host}:{port}"
            time.sleep(0.02)
        else:
            return


def shown_certificate(
    host: str, port: int, name: str | None, *, is_rsa: bool = False
) -> x509.Certificate:
    """Give the certificate that a server shows for a name, once it has one; None: without SNI.

    `is_rsa`: to a client that knows nothing else.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if is_rsa:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    deadline = time.monotonic() + PATIENCE
    while True:
        found = _shake_hands(context, (host, port), name)
        if isinstance(found, x509.Certificate):
            return found
        assert time.monotonic() < deadline, f"{host}:{port} has none for {name}: {found}"
        time.sleep(0.05)


def _shake_hands(
    context: ssl.SSLContext, place: tuple[str, int], name: str | None
) -> x509.Certificate | Exception:
    """Give the server's certificate, or why there is none."""
    try:
        with (
            socket.create_connection(place, PATIENCE) as wire,
            context.wrap_socket(wire, server_hostname=name) as tls,
        ):
            octets = tls.getpeercert(binary_form=True)
    except (ssl.SSLError, ConnectionError) as error:
        return error
    assert octets is not None
    return x509.load_der_x509_certificate(octets)


@contextmanager
def web_server(host: str, port: int, root: Path) -> Iterator[None]:
    """Show the files of a folder, as a web server that knows nothing of ACME."""
    show = partial(_Quiet, directory=str(root))
    with ThreadingHTTPServer((host, port), show) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(PATIENCE)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        del format, args


@contextmanager
def proof_server(host: str, port: int, folder: Path) -> Iterator[None]:
    """Answer tls-alpn-01 with the certificates that dehydrated puts into a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["acme-tls/1"])

    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        assert name is not None
        assert re.fullmatch(r"[a-z0-9.-]+", name)
        chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chosen.set_alpn_protocols(["acme-tls/1"])
        chosen.load_cert_chain(folder / f"{name}.crt.pem", folder / f"{name}.key.pem")
        tls.context = chosen

    context.sni_callback = choose
    listener = socket.create_server((host, port))

    def answer() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            with wire:
                try:
                    context.wrap_socket(wire, server_side=True).close()
                except OSError:
                    continue

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE)
