"""ACME clients of others, as their operators call them: certbot, lego, dehydrated.

Each keeps its account and its certificates in a folder of its own. A client that ends with an error
fails the test, with all that it said.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import peers
from tests.interop.acme_world import ADDRESSES, AcmeWorld
from tests.peers import MISSING, miss_peer
from tools.side_environment import is_current, side_python

PATIENCE = 90.0
CONTACT = "postmaster@example.org"


@dataclass(frozen=True)
class Said:
    """How a program ended, and its output and errors in one."""

    code: int
    text: str


def call(words: Sequence[object], variables: Mapping[str, str], folder: Path) -> Said:
    """Run a program to its end in a folder, whatever that is."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8", **variables},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Said(done.returncode, done.stdout)


def require_certbot() -> None:
    """Skip the running test without it; fail it with CI=true."""
    if not is_current("certbot"):
        miss_peer(f"{MISSING}certbot: `make certbot` brings it")


@dataclass
class Client:
    """A client with its account, in a folder of its own."""

    world: AcmeWorld
    name: str
    folder: Path = field(init=False)
    address: str = field(init=False)

    kind = ""

    def __post_init__(self) -> None:
        self.folder = self.world.make_folder(f"{self.kind}-{self.name}")
        self.address = ADDRESSES[self.kind]

    def call(self, *words: object) -> Said:
        """Call it, to succeed or not."""
        raise NotImplementedError

    def run(self, *words: object) -> str:
        """Call it; it must succeed. Gives what it said."""
        said = self.call(*words)
        assert said.code == 0, f"{self.kind} {' '.join(map(str, words))}\n{said.text}"
        return said.text


class Certbot(Client):
    """certbot, of PyPI: the newest there is has renewal information, profiles and addresses."""

    kind = "certbot"

    def call(self, *words: object) -> Said:
        program = side_python("certbot").with_name("certbot")
        folders = [f"--{name}-dir={self.folder / name}" for name in ("config", "work", "logs")]
        fixed = ["--non-interactive", "--agree-tos", "--email", CONTACT]
        server = ["--server", self.world.directory]
        variables = {"REQUESTS_CA_BUNDLE": str(self.world.trust)}
        return call([program, *words, *folders, *fixed, *server], variables, self.folder)

    @property
    def standalone(self) -> list[str]:
        """How it answers http-01 by itself."""
        port = str(self.world.http_port)
        return ["--standalone", "--http-01-address", self.address, "--http-01-port", port]

    @property
    def by_dns(self) -> list[str]:
        """How it has TXT records set."""
        add, remove = (f"{self.world.hook} certbot-{verb}" for verb in ("add", "remove"))
        hooks = ["--manual-auth-hook", add, "--manual-cleanup-hook", remove]
        return ["--manual", "--preferred-challenges", "dns", *hooks]

    def chain(self, name: str) -> Path:
        """Give the newest chain of a certificate; its key is beside it."""
        return (self.folder / "config/live" / name / "fullchain.pem").resolve()


class Lego(Client):
    """lego, of Debian."""

    kind = "lego"

    def call(self, *words: object) -> Said:
        account = ["--path", self.folder, "--email", CONTACT, "--accept-tos"]
        server = ["--server", self.world.directory]
        variables = {
            "LEGO_CA_CERTIFICATES": str(self.world.trust),
            "EXEC_PATH": str(self.world.hook),
            "EXEC_PROPAGATION_TIMEOUT": "10",
            "EXEC_POLLING_INTERVAL": "1",
            # Else it waits for a minute after each name.
            "EXEC_SEQUENCE_INTERVAL": "1",
        }
        return call([peers.program("lego"), *account, *server, *words], variables, self.folder)

    @property
    def by_http(self) -> list[str]:
        return ["--http", "--http.port", f"{self.address}:{self.world.http_port}"]

    @property
    def by_tls(self) -> list[str]:
        return ["--tls", "--tls.port", f"{self.address}:{self.world.tls_port}"]

    @property
    def by_dns(self) -> list[str]:
        return ["--dns", "exec", "--dns.resolvers", self.world.resolver, "--dns.disable-cp"]

    @property
    def bound(self) -> list[str]:
        """How its account is bound to another one."""
        return ["--eab", "--kid", self.world.kid, "--hmac", self.world.mac_key]

    def chain(self, name: str) -> Path:
        return self.folder / "certificates" / f"{name.replace('*', '_')}.crt"


class Dehydrated(Client):
    """dehydrated, of Debian: a shell program over curl and OpenSSL."""

    kind = "dehydrated"

    def call(self, *words: object) -> Said:
        return call([peers.program("dehydrated"), "-f", self._write(), *words], {}, self.folder)

    def _write(self) -> Path:
        """Write its configuration, which is a piece of shell."""
        values = {
            "CA": self.world.directory,
            "BASEDIR": self.folder,
            "WELLKNOWN": self.webroot / ".well-known/acme-challenge",
            "HOOK": self.world.hook,
            "CURL_OPTS": f"--cacert {self.world.trust}",
            "CONTACT_EMAIL": CONTACT,
        }
        config = self.folder / "config"
        lines = [f"{key}={json.dumps(str(value))}\n" for key, value in values.items()]
        config.write_text("".join(lines), encoding="utf-8")
        Path(str(values["WELLKNOWN"])).mkdir(parents=True, exist_ok=True)
        return config

    @property
    def webroot(self) -> Path:
        """Where it puts files for http-01; some web server shows them."""
        return self.folder / "webroot"

    def chain(self, name: str) -> Path:
        return self.folder / "certs" / name / "fullchain.pem"
