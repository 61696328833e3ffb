"""HAProxy and nginx of the tests' own, in front of a node: their settings, and their processes."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.logging_process import LoggingProcess
from tests.peers import program

HAPROXY_SOURCE = "127.0.0.2"
"""Where HAProxy, and nginx's `stream`, connect to the node from: such are its `proxy_from`."""

FindPort = Callable[[str], int]
"""Gives the node's port for a client, by how it logs in: `plain`, `login`, `none`."""

_HAPROXY = """\
global
    log stderr format raw local0 info
defaults
    mode tcp
    log global
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout check 10s
"""
_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr info;
{modules}
events {{}}
mail {{
    server_name nginx.test;
    auth_http 127.0.0.1:{auth_port}/auth;
    xclient on;
    server {{
        listen 127.0.0.1:{mail_port};
        protocol smtp;
        smtp_auth plain login;
    }}
    server {{
        listen 127.0.0.1:{plain_port};
        protocol smtp;
        smtp_auth none;
    }}
}}
stream {{
    server {{
        listen 127.0.0.1:{stream_port};
        proxy_bind {source};
        proxy_pass 127.0.0.1:{node_port};
        proxy_protocol on;
    }}
}}
"""


@dataclass
class HaproxyFiles:
    """Its settings: for each port a way to a port of the node."""

    folder: Path
    sections: list[str] = field(default_factory=list)

    def add(
        self, name: str, ports: tuple[int, int], options: str, bind: str = "", more: str = ""
    ) -> None:
        """Listen on the first port, for the second; `options` are of `server`, `more` are lines."""
        port, to = ports
        lines = (
            f"listen {name}",
            f"    bind 127.0.0.1:{port} {bind}",
            *(f"    {line}" for line in more.splitlines()),
            f"    server mx 127.0.0.1:{to} source {HAPROXY_SOURCE} {options}",
        )
        self.sections.append("\n".join(lines) + "\n")

    def write(self) -> Path:
        path = self.folder / "haproxy.cfg"
        path.write_text(_HAPROXY + "".join(self.sections))
        return path


@contextmanager
def running_haproxy(files: HaproxyFiles) -> Iterator[LoggingProcess]:
    """Run it; it listens when its first line of `wait_banner` says so."""
    command = [str(program("haproxy")), "-db", "-f", str(files.write())]
    process = LoggingProcess(command, files.folder / "haproxy.log", is_stderr=True)
    try:
        yield process
    finally:
        process.stop()


@dataclass(frozen=True)
class NginxPorts:
    """Where it listens: SMTP with logins, without, and `stream`; and the node's port for that."""

    mail: int
    plain: int
    stream: int
    node: int


@contextmanager
def running_nginx(folder: Path, ports: NginxPorts, find_port: FindPort) -> Iterator[LoggingProcess]:
    """Run it with a server for its `auth_http`, which lets all in."""
    with _answering(find_port) as auth_port:
        config = folder / "nginx.conf"
        config.write_text(
            _NGINX.format(
                folder=folder,
                modules="\n".join(list_modules()),
                auth_port=auth_port,
                mail_port=ports.mail,
                plain_port=ports.plain,
                stream_port=ports.stream,
                node_port=ports.node,
                source=HAPROXY_SOURCE,
            )
        )
        command = [str(program("nginx")), "-e", "stderr", "-p", str(folder), "-c", str(config)]
        process = LoggingProcess(command, folder / "nginx.log", is_stderr=True)
        try:
            yield process
        finally:
            process.stop()


def list_modules() -> Iterator[str]:
    """Load what Debian has in packages of their own."""
    folder = program("nginx").parent.parent / "lib" / "nginx" / "modules"
    for name in ("ngx_mail_module", "ngx_stream_module"):
        if (folder / f"{name}.so").exists():
            yield f"load_module {folder / name}.so;"


@contextmanager
def _answering(find_port: FindPort) -> Iterator[int]:
    """Serve what nginx asks before it connects on: everybody may, and to which port."""

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Auth-Status", "OK")
            self.send_header("Auth-Server", "127.0.0.1")
            self.send_header("Auth-Port", str(find_port(self.headers["Auth-Method"])))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
