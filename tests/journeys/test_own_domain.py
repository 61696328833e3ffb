"""A node serves its domain's MTA-STS policy, and `dns check` holds it to what is published."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.free_ports import free_port
from tests.interop.background import zones
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue

DOMAIN, HOST = "example.org", "mx.example.org"


@pytest.fixture
def policy_port() -> int:
    return free_port()


@pytest.fixture
def files(tmp_path: Path, policy_port: int) -> NodeFiles:
    files = NodeFiles(tmp_path, hostname=HOST, domains=(DOMAIN,))
    files.add_certificate(issue((HOST, f"mta-sts.{DOMAIN}")))
    trust = tmp_path / "ca.pem"
    trust.write_bytes(authority().pem)
    files.change("policy", trust_files=[str(trust)])
    files.change("mta_sts", port=policy_port, private_addresses=True)
    files.change("publishing", addresses=["127.0.0.1"])
    files.change(
        "publishing.mta_sts", domains=[DOMAIN], mode="enforce", listen=[f"127.0.0.1:{policy_port}"]
    )
    return files


@pytest.fixture
def node(files: NodeFiles) -> Iterator[RunningNode]:
    with running(files) as node:
        # The keys that mail is signed with belong to what is published.
        node.wait_log("DKIM: made .*", count=2)
        yield node


def published(files: NodeFiles) -> dict[str, str]:
    """Give the zones that `dns records` says should be there."""
    document = files.command("dns", "records", DOMAIN, "--json").document
    lines = {
        "com": "@ NS ns.com.",
        DOMAIN: f"{DOMAIN}. NS ns.{DOMAIN}.\nns.{DOMAIN}. A 127.0.0.1\n",
    }
    for record in document["records"]:
        zone = "in-addr.arpa" if record["type"] == "PTR" else DOMAIN
        lines[zone] = lines.get(zone, "") + f"{record['line']}\n"
    return lines


def check(files: NodeFiles, resolver: str) -> dict[str, Any]:
    files.change("dns_changes", port=int(resolver.rpartition(":")[2]))
    files.write()
    answer = files.command("dns", "check", DOMAIN, "--json", "--resolver", resolver)
    assert answer.error == ""
    return answer.document


@pytest.mark.proof
def test_what_is_given_to_publish_is_what_is_right(node: RunningNode, files: NodeFiles) -> None:
    """RFC 8461 §3.2, §3.3; rules 148 and 151"""
    with zones(published(files), authentic_data=True) as resolver:
        document = check(files, resolver)
    assert document["findings"] == []
    assert (document["verdict"], document["undecided"]) == ("fine", [])
    assert {record["state"] for record in document["records"]} == {"right"}
    assert node.process.poll() is None


@pytest.mark.proof
def test_host_that_the_served_policy_does_not_list_is_forbidden_for_its_time(
    node: RunningNode, files: NodeFiles
) -> None:
    """RFC 8461 §5.1, §8.1, §8.3; rules 149 and 150"""
    with zones(published(files), authentic_data=True) as resolver:
        assert check(files, resolver)["verdict"] == "fine"
        node.stop()
        files.change("publishing", mx_hosts=[HOST, f"mx2.{DOMAIN}"])
        files.write()
        records = files.command("dns", "records", DOMAIN)
        (line,) = [each for each in records.output.splitlines() if f"mx2.{DOMAIN}." in each][:1]
        assert line == f"; {DOMAIN}. 3600 IN MX 20 mx2.{DOMAIN}."
        codes = {each["code"] for each in check(files, resolver)["findings"]}
        # The new id is not to be set while nobody serves the new policy.
        assert {"mta-sts-no-policy", "mta-sts-id-differs"} <= codes
        assert "mx-host-missing" not in codes
