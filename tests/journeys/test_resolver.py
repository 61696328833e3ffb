"""A node and its resolver: what is said at the start, and what `letterlock status` shows."""

from pathlib import Path

import pytest

from tests.dnssec_lab.lab import DnssecLab, require_libunbound
from tests.journeys.running_node import NodeFiles, running

BACKENDS = ["stub", "libunbound"]


def make_files(folder: Path, lab: DnssecLab, backend: str) -> NodeFiles:
    host, port = lab.resolver if backend == "stub" else lab.authority
    files = NodeFiles(folder)
    files.change(
        "dns",
        backend=backend,
        resolver=f"{host}:{port}",
        trust_anchor=str(lab.trust_anchor),
        signed_name="secure.example",
        bogus_name="bogus.example",
    )
    files.change("node", workers=2)
    return files


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_answers_are_validated_dane_can_work(
    tmp_path: Path, dnssec_lab: DnssecLab, backend: str
) -> None:
    if backend == "libunbound":
        require_libunbound()
    files = make_files(tmp_path, dnssec_lab, backend)
    with running(files) as node:
        node.wait_log(r"master\b.*: DANE can work: secure.example is signed, and was validated")
        resolver = files.command("status", "--json").document["resolver"]
        assert not [line for line in node.lines if "DANE cannot" in line]
    assert (resolver["trusted"], resolver["self_test"]) == (True, "passed")
    host, port = dnssec_lab.resolver if backend == "stub" else dnssec_lab.authority
    assert resolver["address"].endswith(f"{host}:{port}")


def test_where_they_are_not_it_is_said_what_to_change(tmp_path: Path, resolver: str) -> None:
    files = NodeFiles(tmp_path)
    files.change("dns", resolver=resolver)
    with running(files) as node:
        node.wait_log("warning: .*DANE cannot work: the resolver does not vouch for com, which is")
        shown = files.command("status").output
    (line,) = [line for line in shown.splitlines() if line.startswith("Resolver ")]
    assert line.startswith(f"Resolver      {resolver}; DANE cannot work: ")
    assert line.endswith('ask one that validates (dns.resolver), or set dns.backend = "libunbound"')


def test_a_missing_anchor_keeps_the_node_from_starting(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path)
    files.change("dns", backend="libunbound", trust_anchor=str(tmp_path / "none"))
    files.write()
    answer = files.command("serve")
    assert answer.code == 2, answer.error
    assert f"letterlock: dns.trust_anchor: {tmp_path / 'none'} is no file" in answer.error
