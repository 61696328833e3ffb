"""HAProxy, nginx and Postfix in front of a node: who its clients are, and what they may.

The PROXY protocol §2; Postfix's XCLIENT_README and XFORWARD_README.
"""

import re
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.base.config.load import parse_config
from letterlock.protocols.proxy.headers import ProxyHeader
from letterlock.protocols.proxy.reader import HeaderReader
from tests.free_ports import free_port
from tests.guides import settings_of
from tests.interop.logging_process import LoggingProcess
from tests.interop.postfix_instance import (
    postfix_files,
    require_root,
    running_postfix,
)
from tests.interop.proxy_instances import (
    HAPROXY_SOURCE,
    HaproxyFiles,
    NginxPorts,
    list_modules,
    running_haproxy,
    running_nginx,
)
from tests.interop.proxy_scripts import DIFFERENT, HEADERS, SCRIPTS
from tests.journeys.running_node import (
    PATIENCE,
    NodeFiles,
    RunningNode,
    mx_certificate,
    running,
)
from tests.journeys.test_submission import NAME, PASSWORD, TEXT, Submitting, add_user
from tests.network.certificates import authority, issue, write_pair
from tests.peers import program, require_peer

IP = "127.0.0.1"
CLIENT = "127.0.0.9"
"""Where clients come from: not one of the proxies' addresses."""
ELSEWHERE = "bob@elsewhere.example"
_LOGGED_IN = r"client=(\S+), sasl_method=\S+, sasl_username=alice"


@pytest.fixture(scope="module")
def submitting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitting]:
    """One node for all tests here. All of 127.0.0.0/8 may relay through it, by the default."""
    files = NodeFiles(tmp_path_factory.mktemp("proxies") / "node")
    files.add_certificate(mx_certificate())
    files.set("receive", proxy_from=[HAPROXY_SOURCE], xclient_from=[IP], xforward_from=[IP])
    files.set(
        "submission",
        enabled=True,
        listen=[f"{IP}:0"],
        listen_starttls=[f"{IP}:0"],
        proxy_from=[HAPROXY_SOURCE],
        xclient_from=[IP],
    )
    files.write()
    add_user(files, NAME)
    with running(files) as node:
        yield Submitting(node)


@pytest.fixture(scope="module")
def node(submitting: Submitting) -> RunningNode:
    return submitting.node


@dataclass(frozen=True)
class Haproxy:
    """A running one, and its ports by name."""

    process: LoggingProcess
    ports: dict[str, int]


@pytest.fixture(scope="module")
def haproxy(submitting: Submitting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Haproxy]:
    require_peer("haproxy")
    folder = tmp_path_factory.mktemp("haproxy")
    certificate, key = write_pair(folder, issue(("haproxy.test",)), "haproxy")
    pair = folder / "pair.pem"
    pair.write_bytes(certificate.read_bytes() + key.read_bytes())
    files = HaproxyFiles(folder)
    ports = {name: free_port(IP) for name in ("v1", "v2", "tls", "465", "both", "checked")}
    to = submitting.node.port
    told = "proxy-v2-options ssl,cert-cn,ssl-cipher,crc32c,authority,unique-id"
    files.add("v1", (ports["v1"], to), "send-proxy")
    files.add("v2", (ports["v2"], to), f"send-proxy-v2 {told}")
    files.add("tls", (ports["tls"], to), f"send-proxy-v2 {told}", f"ssl crt {pair}")
    files.add("465", (ports["465"], submitting.tls), "send-proxy-v2")
    both = f"ssl verify required ca-file {submitting.trust} verifyhost mx.example.org send-proxy-v2"
    files.add("both", (ports["both"], submitting.tls), both, f"ssl crt {pair}")
    files.add(
        "checked",
        (ports["checked"], to),
        "send-proxy-v2 check check-send-proxy inter 2s",
        more="option smtpchk EHLO haproxy.test\noption log-health-checks",
    )
    with running_haproxy(files) as process:
        process.wait_banner(IP, ports["v1"])
        yield Haproxy(process, ports)


@pytest.fixture(scope="module")
def nginx(submitting: Submitting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxPorts]:
    require_peer("nginx")
    mail, plain, stream = (free_port(IP) for _ in range(3))
    ports = NginxPorts(mail, plain, stream, submitting.node.port)

    def find_port(method: str) -> int:
        return submitting.node.port if method == "none" else submitting.starttls

    with running_nginx(tmp_path_factory.mktemp("nginx"), ports, find_port) as process:
        process.wait_banner(IP, stream)
        yield ports


def untrusting() -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
    context.check_hostname = False
    return context


def connect(port: int, *, is_tls: bool = False) -> smtplib.SMTP:
    source = (CLIENT, 0)
    if is_tls:
        return smtplib.SMTP_SSL(
            *(IP, port), timeout=PATIENCE, context=untrusting(), source_address=source
        )
    return smtplib.SMTP(IP, port, "client.example", PATIENCE, source)


def hand_in(node: RunningNode, port: int, *, is_tls: bool = False) -> str:
    """Send to a mailbox, and try to relay; gives the log's lines about that."""
    since = len(node.lines)
    with connect(port, is_tls=is_tls) as client:
        client.ehlo()
        client.mail("writer@writer.example")
        assert client.rcpt(ELSEWHERE)[0] == 554
        assert client.rcpt("alice@example.org")[0] == 250
        assert client.data(TEXT)[0] == 250
    node.wait_log(r"disconnect from \S+ ehlo=1 mail=1 rcpt=1/2 data=1", since=since)
    return "".join(node.lines[since:])


@pytest.mark.peer("haproxy")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_tells_who_its_client_is(node: RunningNode, haproxy: Haproxy, version: str) -> None:
    """The PROXY protocol §2.1, §2.2: and the client may not relay, though 127.0.0.0/8 may."""
    log = hand_in(node, haproxy.ports[version])
    assert f"connect from unknown[{CLIENT}] by proxy [{HAPROXY_SOURCE}]\n" in log
    assert f"client=unknown[{CLIENT}], helo=<client.example>" in log
    received = f"Received: from client.example (unknown [{CLIENT}])"
    node.wait_for(lambda: any(received in mail for mail in node.files.mails()), "mail")


@pytest.mark.peer("haproxy")
def test_tls_that_ends_at_haproxy_is_logged(node: RunningNode, haproxy: Haproxy) -> None:
    """The PROXY protocol §2.2.6: it is told, with a checksum, and the mail came to us in clear."""
    log = hand_in(node, haproxy.ports["tls"], is_tls=True)
    words = f"by proxy [{HAPROXY_SOURCE}], which it reached by TLSv1.3 with cipher TLS_AES_"
    assert f"connect from unknown[{CLIENT}] {words}" in log
    assert "TLS connection established" not in log


@pytest.mark.peer("haproxy")
@pytest.mark.parametrize("way", ["465", "both"])
def test_implicit_tls_comes_behind_what_haproxy_tells(
    submitting: Submitting, haproxy: Haproxy, way: str
) -> None:
    """RFC 8314 §3.3: TLS that HAProxy passes through, and one on each side of it."""
    since = len(submitting.node.lines)
    with connect(haproxy.ports[way], is_tls=True) as client:
        client.login(NAME, PASSWORD)
        client.sendmail("alice@example.org", ["postmaster@example.org"], TEXT)
    found = submitting.node.wait_log(
        r"client=(\S+), sasl_method=\S+, sasl_username=alice", since=since
    )
    assert found[1] == f"unknown[{CLIENT}]"


@pytest.mark.peer("haproxy")
def test_haproxys_health_checks_are_not_in_the_log(node: RunningNode, haproxy: Haproxy) -> None:
    """`option smtpchk` with `check-send-proxy`: LOCAL, or the proxy's own addresses."""
    haproxy.process.wait_log(r"Health check for server checked/mx succeeded")
    hand_in(node, haproxy.ports["checked"])
    assert f"unknown[{HAPROXY_SOURCE}]" not in node.log
    assert "of receive.proxy_from" not in node.log


@pytest.mark.peer("nginx")
def test_nginx_tells_who_is_logged_in(submitting: Submitting, nginx: NginxPorts) -> None:
    """`xclient on`, with `auth_http`: without TLS between the two, and without a password."""
    node = submitting.node
    since = len(node.lines)
    with connect(nginx.mail) as client:
        client.login(NAME, "whatever: nginx asks somebody else")
        assert client.mail("somebody@example.org")[0] == 550
        client.rset()
        client.sendmail("alice@example.org", ["postmaster@example.org"], TEXT)
    found = node.wait_log(r"client=(\S+), sasl_method=XCLIENT, sasl_username=alice", since=since)
    assert found[1] == f"unknown[{CLIENT}]"


@pytest.mark.peer("nginx")
def test_clients_of_nginxs_have_no_rights_of_its_own(node: RunningNode, nginx: NginxPorts) -> None:
    log = hand_in(node, nginx.plain)
    assert f"connect from unknown[{CLIENT}] by proxy [{IP}]\n" in log
    with connect(nginx.plain) as client:
        client.ehlo()
        client.mail("writer@writer.example")
        client.rcpt("alice@example.org")
        client.rset()
        # nginx passes on what follows, whatever it is.
        assert client.docmd("XCLIENT", f"ADDR=192.0.2.7 LOGIN={NAME}")[0] == 550


@pytest.mark.peer("nginx")
def test_nginx_tells_with_proxy_protocol(node: RunningNode, nginx: NginxPorts) -> None:
    """`stream` with `proxy_protocol on`."""
    log = hand_in(node, nginx.stream)
    assert f"connect from unknown[{CLIENT}] by proxy [{HAPROXY_SOURCE}]\n" in log


@pytest.mark.peer("postfix")
def test_postfix_tells_where_a_message_came_from(node: RunningNode) -> None:
    """XFORWARD: `smtp_send_xforward_command = yes` at the Postfix that hands its mail on."""
    require_root()
    port = free_port(IP)
    with postfix_files() as files:
        files.settings |= {
            "default_transport": "smtp",
            "relayhost": f"[{IP}]:{node.port}",
            "smtp_send_xforward_command": "yes",
            "smtpd_authorized_xclient_hosts": IP,
            "mynetworks": "192.0.2.0/24",
        }
        files.add_server(IP, port)
        with running_postfix(files) as postfix:
            postfix.wait_banner(IP, port)
            with smtplib.SMTP(IP, port, timeout=PATIENCE) as client:
                client.docmd("XCLIENT", "NAME=client.example ADDR=192.0.2.7")
                client.ehlo("client.example")
                client.sendmail("writer@writer.example", ["alice@example.org"], TEXT)
            found = node.wait_log(r"(\w+): client=(\S+), orig_queue_id=(\w+), orig_client=([^,]+),")
            assert found[2] == f"unknown[{IP}]"
            assert found[4] == "client.example[192.0.2.7]"
            postfix.wait_log(rf"{found[3]}: to=<alice@example.org>.*status=sent")
    shown = node.files.command("queue", "show", found[1], "--json")
    assert "client.example[192.0.2.7]" in shown.output


@dataclass(frozen=True)
class PostfixPorts:
    """One for XCLIENT, one behind the PROXY protocol."""

    named: int
    proxied: int


@pytest.fixture(scope="module")
def postfix_ports() -> Iterator[PostfixPorts]:
    require_peer("postfix")
    require_root()
    port, proxied = free_port(IP), free_port(IP)
    with postfix_files() as files:
        # Without IPv6 it takes no such address in XCLIENT.
        files.settings["inet_protocols"] = "all"
        files.add_server(
            *(IP, port),
            smtpd_authorized_xclient_hosts=IP,
            smtpd_authorized_xforward_hosts=IP,
        )
        files.add_server(IP, proxied, smtpd_upstream_proxy_protocol="haproxy")
        with running_postfix(files) as postfix:
            postfix.wait_banner(IP, port)
            yield PostfixPorts(port, proxied)


def say(port: int, lines: list[str]) -> list[int]:
    with smtplib.SMTP(IP, port, timeout=PATIENCE) as client:
        return [client.docmd(line)[0] for line in lines]


@pytest.mark.peer("postfix")
@pytest.mark.parametrize("name", SCRIPTS)
def test_postfix_gives_the_same_codes(
    node: RunningNode, postfix_ports: PostfixPorts, name: str
) -> None:
    lines, codes = map(list, zip(*SCRIPTS[name], strict=True))
    assert {"postfix": say(postfix_ports.named, lines), "ours": say(node.port, lines)} == {
        "postfix": codes,
        "ours": codes,
    }


@pytest.mark.peer("postfix")
@pytest.mark.parametrize("why", DIFFERENT)
def test_where_postfix_differs(node: RunningNode, postfix_ports: PostfixPorts, why: str) -> None:
    """Each is described in docs/guide/proxies.md."""
    lines, postfix, ours = DIFFERENT[why]
    assert (say(postfix_ports.named, lines), say(node.port, lines)) == (postfix, ours)


@pytest.mark.peer("postfix")
def test_postfix_takes_the_same_headers(postfix_ports: PostfixPorts) -> None:
    """The PROXY protocol §2: but where it differs from that, or that leaves it open."""
    found = {}
    for name, (octets, _, _) in HEADERS.items():
        with socket.create_connection((IP, postfix_ports.proxied), PATIENCE) as client:
            client.sendall(octets)
            greeting = client.recv(4)
        found[name] = octets, greeting == b"220 ", _takes(octets)
    assert found == HEADERS


def _takes(octets: bytes) -> bool:
    return isinstance(HeaderReader().receive(octets), ProxyHeader)


@pytest.mark.peer("haproxy")
def test_haproxy_takes_the_settings_of_the_guide(tmp_path: Path) -> None:
    (shown,) = settings_of("proxies.md", "haproxy")
    path = tmp_path / "haproxy.cfg"
    path.write_text(shown)
    command: list[str | Path] = [program("haproxy"), "-c", "-f", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.peer("nginx")
def test_nginx_takes_the_settings_of_the_guide(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, issue(("mail.example.org",)), "mail")
    shown = "".join(settings_of("proxies.md", "nginx"))
    for port in re.findall(r"listen (\d+)", shown):
        # It tries them.
        shown = shown.replace(f"listen {port}", f"listen {IP}:{free_port(IP)}")
    shown = shown.replace("/etc/ssl/mail.example.org.pem", str(certificate))
    shown = shown.replace("/etc/ssl/mail.example.org.key", str(key))
    path = tmp_path / "nginx.conf"
    modules = "\n".join(list_modules())
    path.write_text(f"pid {tmp_path}/pid;\n{modules}\nevents {{}}\n{shown}")
    command: list[str | Path] = [program("nginx"), "-t", "-e", "stderr", "-p", tmp_path, "-c", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def test_the_node_takes_the_settings_of_the_guide(tmp_path: Path) -> None:
    head = (
        'hostname = "mx.example.org"\ndomains = ["example.org"]\n'
        f'contact = "postmaster@example.org"\ndata_dir = "{tmp_path}"\n'
    )
    for shown in settings_of("proxies.md", "toml"):
        config = parse_config(head + shown, tmp_path / "letterlock.toml")
        lists = (
            *(config.receive.proxy_from, config.receive.xforward_from),
            config.submission.xclient_from,
        )
        assert any(lists)
