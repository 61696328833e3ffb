"""Reports by HTTPS: a node posts what was counted, another takes it, and curl may as well."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from letterlock.base.clock import SystemClock
from letterlock.services.collect.journal import Batch, Journal
from letterlock.storage.day_files import DayFiles
from tests.interop.background import zones
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, mx_certificate, running
from tests.network.certificates import authority
from tests.peers import program
from tests.protocols.tlsrpt.corpus import encode, make_document, make_result
from tests.protocols.tlsrpt.datagrams import make_datagram

ABOUT = "example.org"
HOST = "127.0.0.2"
YESTERDAY = SystemClock().now().date() - timedelta(days=1)


@dataclass(frozen=True)
class Receiver:
    """A node that takes reports; `path` is that of its domain."""

    files: NodeFiles
    node: RunningNode
    port: int
    path: str

    @property
    def uri(self) -> str:
        return f"https://mx.example.org:{self.port}{self.path}"

    def post(self, octets: bytes, *options: str, path: str | None = None) -> tuple[int, str]:
        """Post with curl; gives the status and what came."""
        url = f"https://mx.example.org:{self.port}{self.path if path is None else path}"
        place = f"mx.example.org:{self.port}:{HOST}"
        trust = self.files.folder / "ca.pem"
        trust.write_bytes(authority().pem)
        command = [str(program("curl")), "-sS", "--cacert", str(trust), "--resolve", place]
        kind = [] if "-H" in options else ["-H", "Content-Type: application/tlsrpt+json"]
        done = subprocess.run(
            [*command, *kind, *options, "--data-binary", "@-", "-w", "\n%{http_code}", url],
            input=octets,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        text, _, status = done.stdout.decode().rpartition("\n")
        return int(status), text.strip()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    files = NodeFiles(tmp_path_factory.mktemp("receiver"), host=HOST)
    files.add_certificate(mx_certificate())
    files.change("publishing.mta_sts", listen=[f"{HOST}:0"])
    files.change("tlsrpt.posts", enabled=True)
    files.write()
    with running(files) as node:
        port = int(node.wait_log(rf"taking reports by HTTPS on {HOST}:(\d+)")[1])
        (told,) = files.command("tlsrpt", "address", "--json").document["addresses"]
        assert told["domain"] == ABOUT
        yield Receiver(files, node, port, urlsplit(told["uri"]).path)
        assert "Traceback" not in node.log


def make_report(number: str) -> bytes:
    dates = {
        "start-datetime": f"{YESTERDAY}T00:00:00Z",
        "end-datetime": f"{YESTERDAY}T23:59:59Z",
    }
    result = make_result()
    result["policy"]["policy-domain"] = ABOUT
    document = make_document(**{"report-id": number, "date-range": dates, "policies": [result]})
    return encode(document)


def list_kept(receiver: Receiver, report_id: str) -> list[dict[str, object]]:
    listed = receiver.files.command("tlsrpt", "list", "--json").document["reports"]
    return [each for each in listed if each["report_id"] == report_id]


def test_what_a_node_posts_arrives_at_another(receiver: Receiver, tmp_path: Path) -> None:
    """RFC 8460 §3, §5.4: it has been kept when it was taken. Rules 204 and 261."""
    files = NodeFiles(tmp_path / "sender", hostname="relay.example.net", domains=("example.net",))
    trust = tmp_path / "ca.pem"
    trust.write_bytes(authority().pem)
    files.change("policy", trust_files=[str(trust)])
    files.change("tlsrpt", private_addresses=True, send_within="0s")
    folder = files.data / "tlsrpt"
    folder.mkdir(parents=True)
    journal = Journal(DayFiles(folder), YESTERDAY - timedelta(days=1))
    record = f"v=TLSRPTv1; rua={receiver.uri}"
    journal.count(Batch({make_datagram(ABOUT, pr=record): 5}))
    journal.close()
    with ExitStack() as stack:
        resolver = stack.enter_context(zones({ABOUT: f"mx A {HOST}\n"}))
        files.change("dns", resolver=resolver)
        files.write()
        node = stack.enter_context(running(files))
        sent = node.wait_log(r"the report about example\.org on .* was sent to https:\S+: (\S+)")
    (kept,) = list_kept(receiver, sent[1])
    assert (kept["way"], kept["standing"]) == ("https", "counted")
    assert (kept["submitter"], kept["repairs"]) == ("example.net (posted)", [])


@pytest.mark.peer("curl")
def test_curl_posts_a_report(receiver: Receiver) -> None:
    """Large ones with Expect: 100-continue, and in chunks."""
    report = make_report("by-curl")
    assert receiver.post(report) == (200, "kept")
    assert receiver.post(report, "-H", "Transfer-Encoding: chunked") == (200, "kept before")
    assert receiver.post(report, "-H", "Expect: 100-continue") == (200, "kept before")
    (kept,) = list_kept(receiver, "by-curl")
    assert (kept["copies"], kept["domains"]) == (2, [ABOUT])
    assert receiver.post(b"{}")[0] == 400
    assert receiver.post(report, path=receiver.path[:-1] + "_") == (404, "404 Not Found")


def test_what_dns_records_tells_is_the_address(receiver: Receiver) -> None:
    """RFC 8460 §3: beside mail, which proves who wrote a report."""
    answer = receiver.files.command("dns", "records", ABOUT, "--json")
    values = [each["value"] for each in answer.document["records"] if each["kind"] == "tlsrpt"]
    assert values
    for value in values:
        assert json.loads(value).startswith("v=TLSRPTv1; rua=mailto:postmaster@example.org,https:")
        assert receiver.path in value


def test_a_reload_cuts_off_nobody(receiver: Receiver) -> None:
    """Who has connected, who has shaken hands, and who is half way through a report."""
    node, report = receiver.node, make_report("over-a-reload")
    head = f"POST {receiver.path} HTTP/1.1\r\nHost: mx.example.org\r\nConnection: close\r\n"
    head += f"Content-Type: application/tlsrpt+json\r\nContent-Length: {len(report)}\r\n\r\n"
    request = head.encode() + report
    context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
    before = node.worker_pids()
    with ExitStack() as stack:
        plain, *others = (
            stack.enter_context(socket.create_connection((HOST, receiver.port), PATIENCE))
            for _ in range(3)
        )
        clients = [
            stack.enter_context(context.wrap_socket(each, server_hostname="mx.example.org"))
            for each in others
        ]
        clients[1].sendall(request[:-100])
        node.reload()
        node.wait_for(lambda: len(set(node.worker_pids()) - set(before)) == 2, "new processes")
        clients.append(
            stack.enter_context(context.wrap_socket(plain, server_hostname="mx.example.org"))
        )
        for client, octets in zip(clients, (request, request[-100:], request), strict=True):
            client.sendall(octets)
            with client.makefile("rb") as answers:
                answer = answers.read()
            assert answer.startswith(b"HTTP/1.1 200 "), answer
    (kept,) = list_kept(receiver, "over-a-reload")
    assert kept["copies"] == 2
    # The old processes end when the last of them has gone.
    node.wait_for(lambda: not set(node.worker_pids()) & set(before), "the old processes' end")
