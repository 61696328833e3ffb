"""A real Postfix tells `tlsrpt collect` what its sessions came to: its log and our counts agree.

RFC 8460 §4.2, §4.3; libtlsrpt's datagrams, as Postfix 3.10 and 3.11 send them.
"""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.cache import CachedPolicy, CacheEntry
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, parse_policy
from letterlock.protocols.pki.throwaway_ca import Issued, self_signed
from letterlock.services.collect.journal import load_day
from letterlock.storage.day_files import DayFiles
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies
from tests.free_ports import free_port
from tests.interop.background import in_background, zones
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
    submit,
)
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.misbehaving import Conduct, serving
from tests.network.certificates import NOW, authority, issue
from tests.peers import require_mounts
from tests.published_domains import key_digest

IP = "127.0.0.1"
RECORD = "v=TLSRPTv1; rua=mailto:tls@reports.example"
STS = ("good-sts", "expired", "mismatch", "untrusted", "clear", "broken")
"""Whose policy is told to Postfix as MTA-STS in mode enforce."""
DANE = ("good-dane", "bad-dane")
PLAIN = ("plain", "unreported")

EXPECTED = {
    # domain: policy, sessions, failed ones, result types
    "good-sts.example": ("sts", 1, 0, []),
    "expired.example": ("sts", 1, 1, ["certificate-expired"]),
    "mismatch.example": ("sts", 1, 1, ["certificate-host-mismatch"]),
    # Self-signed: Postfix has this word for it.
    "untrusted.example": ("sts", 1, 1, ["validation-failure"]),
    "clear.example": ("sts", 1, 1, ["starttls-not-supported"]),
    "broken.example": ("sts", 1, 1, ["validation-failure"]),
    "good-dane.example": ("tlsa", 1, 0, []),
    "bad-dane.example": ("tlsa", 1, 1, ["certificate-not-trusted"]),
    "plain.example": ("no-policy-found", 1, 0, []),
}


@dataclass(frozen=True, slots=True)
class Told:
    """A Postfix that has sent to all domains, and what was counted. `answers`: delivery status.

    `ours` is what a node of ours would report that has sent to the same hosts.
    """

    postfix: PostfixInstance
    answers: dict[str, str]
    days: list[dict[str, Any]]
    ours: list[dict[str, Any]]


def make_conducts() -> dict[str, Conduct]:
    def issue_for(name: str) -> Issued:
        return issue((f"mx.{name}.example",))

    conducts = {name: Conduct(issue_for(name)) for name in (*STS, *DANE, *PLAIN)}
    long_ago = NOW - timedelta(days=1000)
    conducts["expired"] = Conduct(authority().issue(("mx.expired.example",), now=long_ago))
    conducts["mismatch"] = Conduct(issue(("mx.another.example",)))
    conducts["untrusted"] = Conduct(self_signed(("mx.untrusted.example",), now=NOW))
    conducts["clear"] = Conduct(has_starttls=False)
    conducts["broken"] = Conduct(issue_for("broken"), instead_of_tls=b"this is no TLS\r\n")
    return conducts


def make_zones(ips: dict[str, str], port: int, conducts: dict[str, Conduct]) -> dict[str, str]:
    records = {}
    for name, ip in ips.items():
        lines = ["@ MX 10 mx", f"mx A {ip}"]
        if name != "unreported":
            lines.append(f'_smtp._tls TXT "{RECORD}"')
        if name in STS:
            # What our node has in its cache, so that nothing is fetched.
            lines.append('_mta-sts TXT "v=STSv1; id=1;"')
        certificate = conducts[name].certificate
        if name in DANE:
            assert certificate is not None
            digest = key_digest(certificate) if name == "good-dane" else "11" * 32
            lines.append(f"_{port}._tcp.mx TLSA 3 1 1 {digest}")
        records[f"{name}.example"] = "\n".join(lines) + "\n"
    return records


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("postfix-3.10", marks=[pytest.mark.peer("postfix-3.10"), pytest.mark.proof]),
        pytest.param("postfix-3.11", marks=pytest.mark.peer("postfix-3.11")),
    ],
)
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    peer: str = request.param
    require_root(peer)
    require_mounts(peer)
    pid, port = os.getpid(), free_port(IP)
    resolver = f"127.55.{pid >> 8 & 0xFF}.{pid & 0xFF}"
    conducts = make_conducts()
    files = NodeFiles(tmp_path_factory.mktemp("collector"))
    with (
        in_background(serving(*conducts.values())) as servers,
        postfix_files(peer=peer) as postfix,
    ):
        ips = {name: server.ip for name, server in zip(conducts, servers, strict=True)}
        target = servers[0].port
        socket = postfix.folder / "queue" / "run" / "tlsrpt" / "tlsrpt.sock"
        files.set("tlsrpt", socket=str(socket))
        files.write()
        with zones(make_zones(ips, target, conducts), resolver, 53, authentic_data=True):
            configure(postfix, resolver, target)
            postfix.add_server(IP, port)
            with running_postfix(postfix) as instance:
                command = [sys.executable, "-m", "letterlock", "tlsrpt", "collect", "--config"]
                collector = RunningNode(files, [*command, str(files.config)])
                try:
                    collector.wait_log("counting what comes at")
                    answers = {name: deliver(instance, port, name) for name in conducts}
                    wanted = len(EXPECTED)
                    collector.wait_for(
                        lambda: count_sessions(files) >= wanted, "\n".join(instance.lines)
                    )
                finally:
                    collector.stop()
                ours = send_by_ours(tmp_path_factory.mktemp("ours"), f"{resolver}:53", target)
                yield Told(instance, answers, show(files), ours)


def configure(postfix: Any, resolver: str, target: int) -> None:
    (postfix.folder / "resolv.conf").write_text(f"nameserver {resolver}\noptions trust-ad\n")
    postfix.mounts = {"/etc/resolv.conf": postfix.folder / "resolv.conf"}
    (postfix.folder / "ca.pem").write_bytes(authority().pem)
    names = (*STS, *DANE, *PLAIN)
    routes = "".join(f"{name}.example smtp:{name}.example:{target}\n" for name in names)
    (postfix.folder / "transports").write_text(routes)
    levels = [f"{name}.example:{target} {make_level(name)}\n" for name in names]
    (postfix.folder / "policies").write_text("".join(levels))
    postfix.settings = {
        "transport_maps": f"texthash:{postfix.folder / 'transports'}",
        "smtp_tls_policy_maps": f"texthash:{postfix.folder / 'policies'}",
        "smtp_dns_support_level": "dnssec",
        "smtp_tls_CAfile": str(postfix.folder / "ca.pem"),
        # Without a level for all, Postfix 3.10 looks for no record.
        "smtp_tls_security_level": "may",
        "smtp_tlsrpt_enable": "yes",
        "smtp_tlsrpt_socket_name": "run/tlsrpt/tlsrpt.sock",
        "smtp_starttls_timeout": "5s",
    }


def make_policy_lines(name: str) -> tuple[str, ...]:
    return ("version: STSv1", "mode: enforce", f"mx: mx.{name}.example", "max_age: 86400")


def send_by_ours(folder: Path, resolver: str, port: int) -> list[dict[str, Any]]:
    """Let a node of ours, which has the same policies, send once to each domain."""
    files = NodeFiles(folder)
    trust = folder / "ca.pem"
    trust.write_bytes(authority().pem)
    files.change("dns", resolver=resolver)
    files.change("deliver", port=port, timeouts={"handshake": "5s"})
    files.change("policy", trust_files=[str(trust)])
    asyncio.run(keep_policies(files.data / "node.sqlite"))
    with running(files) as node:
        for name in (*STS, *DANE, *PLAIN):
            queue_id = node.send(to=f"alice@{name}.example")
            node.wait_log(rf"{queue_id}: to=<.*status=")
            node.wait_for(lambda: not is_claimed(files), "its settlement")
    reports: list[dict[str, Any]] = []
    today = SystemClock().now().date()
    for day in (today - timedelta(days=1), today):
        command = ("tlsrpt", "send", "--dry-run", "--day", str(day), "--json")
        reports += files.command(*command).document["reports"]
    return reports


def is_claimed(files: NodeFiles) -> bool:
    document = files.command("status", "--json").document
    return bool(document["queue"]["claimed"])


async def keep_policies(path: Path) -> None:
    """Put policies into a node's cache, as if it had fetched them."""
    clock = SystemClock()
    now = clock.now()
    store = SqlitePolicies(NodeDatabase(path, clock))
    await store.open()
    for name in STS:
        text = "".join(f"{line}\r\n" for line in make_policy_lines(name))
        policy = parse_policy(text.encode())
        assert isinstance(policy, MtaStsPolicy)
        lease = await store.claim_fetch(Domain(f"{name}.example"), now, now + timedelta(minutes=1))
        assert lease is not None
        await store.settle_fetch(lease, CacheEntry(CachedPolicy("1", policy, text, now), None))
    await store.close()


def make_level(name: str) -> str:
    if name in DANE:
        return "dane-only"
    if name in PLAIN:
        return "may"
    lines = make_policy_lines(name)
    policy = " ".join(f"{{ policy_string = {line} }}" for line in lines)
    return (
        f"secure match=mx.{name}.example servername=hostname policy_type=sts "
        f"policy_domain={name}.example mx_host_pattern=mx.{name}.example {policy}"
    )


def deliver(postfix: PostfixInstance, port: int, name: str) -> str:
    queue_id = submit(port, f"alice@{name}.example")
    return postfix.wait_log(rf"{queue_id}: to=<.*status=(\w+) \(")[1]


def show(files: NodeFiles) -> list[dict[str, Any]]:
    answer = files.command("tlsrpt", "collect", "--show", "--json")
    assert answer.code == 0, answer.error
    days: list[dict[str, Any]] = answer.document["days"]
    return days


def count_sessions(files: NodeFiles) -> int:
    kept = DayFiles(files.data / "tlsrpt")
    return sum(load_day(kept, day).sessions for day in kept.list_days())


def find_policies(told: Told) -> dict[str, dict[str, Any]]:
    """Give the one policy of each domain that was counted; midnight may lie between."""
    return {
        domain["domain"]: policy
        for day in told.days
        for domain in day["domains"]
        for policy in domain["policies"]
    }


def test_what_postfix_did_is_what_is_counted(told: Told) -> None:
    """RFC 8460 §4.2, §4.3; rules 200 and 240."""
    found = {
        name: (
            policy["type"],
            policy["successful"] + policy["failed"],
            policy["failed"],
            [failure["result_type"] for failure in policy["failures"]],
        )
        for name, policy in find_policies(told).items()
    }
    assert found == EXPECTED, "\n".join(told.postfix.lines)
    assert [day["refused"] + day["dropped"] for day in told.days] == [0] * len(told.days)


def test_postfixs_log_says_the_same(told: Told) -> None:
    """Mail went where the session was a success, or no policy asked for more."""
    for name, (_, _, failed, _) in EXPECTED.items():
        assert told.answers[name.partition(".")[0]] == ("deferred" if failed else "sent")
    log = "\n".join(told.postfix.lines)
    for name, policy in find_policies(told).items():
        # From 3.10 on Postfix logs that it reports, and what.
        word = "failure" if policy["failed"] else "success"
        assert f"TLSRPT: status={word}, domain={name}," in log
        for failure in policy["failures"]:
            told_type = failure["result_type"].replace("-", "_")
            assert re.search(rf"TLSRPT: .*domain={name},.* failure_type={told_type}\b", log)
    assert "could not report TLS" not in log


def test_what_postfix_tells_is_all_there(told: Told) -> None:
    """RFC 8460 §4.4: policy, its lines and patterns, host, addresses, greeting."""
    policies = find_policies(told)
    expired = policies["expired.example"]
    assert expired["domain"] == "expired.example"
    assert expired["strings"][:2] == ["version: STSv1", "mode: enforce"]
    assert expired["mx_hosts"] == ["mx.expired.example"]
    (failure,) = expired["failures"]
    assert failure["receiving_mx_hostname"] == "mx.expired.example"
    assert failure["receiving_mx_helo"] == "mx.test"
    assert failure["receiving_ip"].startswith("127.0.")
    assert failure["sending_mta_ip"].startswith("127.")
    dane = policies["bad-dane.example"]
    assert dane["domain"] == "mx.bad-dane.example"
    assert dane["strings"] == ["3 1 1 " + "11" * 32]
    records = {each["record"] for day in told.days for each in day["domains"]}
    assert records == {RECORD}


OTHER_WORDS = {
    # domain: Postfix's word, ours
    "untrusted.example": ("validation-failure", "certificate-not-trusted"),
    "bad-dane.example": ("certificate-not-trusted", "validation-failure"),
}
"""Where RFC 8460 §4.3.1 leaves a choice: a certificate that signs itself leads to no authority, and
one that no TLSA record has is no matter of trust, the records being valid."""


def test_a_node_of_ours_counts_what_postfix_counts(told: Told) -> None:
    """RFC 8460 §4.2, §4.3: the same hosts, policies, outcomes and words; rule 200."""
    ours = {each["domain"]: each for each in told.ours if each["policies"]}
    theirs = find_policies(told)
    hosts = {f"mx.{name}.example" for name in DANE}
    # We count for all, and see later who wants a report; hosts with TLSA records may, too.
    assert set(ours) == {*theirs, *hosts, "unreported.example"}
    assert {name for name, each in ours.items() if each["state"] == "planned"} == set(theirs)
    for name, expected in theirs.items():
        (found,) = ours[name]["policies"]
        words = [failure["result_type"] for failure in found["failures"]]
        told_words = [failure["result_type"] for failure in expected["failures"]]
        if name in OTHER_WORDS:
            assert ([told_words[0]], words) == ([OTHER_WORDS[name][0]], [OTHER_WORDS[name][1]])
        else:
            assert words == told_words, name
        for key in ("type", "domain", "mx_hosts", "successful", "failed"):
            assert found[key] == expected[key], (name, key)
        assert [text.lower() for text in found["strings"]] == [
            text.lower() for text in expected["strings"]
        ]
        for mine, other in zip(found["failures"], expected["failures"], strict=True):
            for key in ("receiving_mx_hostname", "receiving_ip"):
                assert mine[key] == other[key], (name, key)


def test_a_domain_without_a_record_is_not_told_of(told: Told) -> None:
    assert told.answers["unreported"] == "sent"
    assert "unreported.example" not in find_policies(told)
