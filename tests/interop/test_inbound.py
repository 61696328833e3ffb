"""Our node, Postfix at several levels and Exim send to an inbound test: each learns what it does.

RFC 7672 §2.2, RFC 8461 §5, RFC 7435 §3. Each level is a client of its own, with an address and a
name of its own: by those a session is known that leaves before it names a recipient.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.interop.postfix_instance import (
    PostfixFiles,
    postfix_files,
    require_root,
    running_postfix,
    submit,
)
from tests.interop.test_exim import ACCOUNT
from tests.journeys.inbound_node import CASES, IP, InboundNode, inbound_node, sending_node
from tests.journeys.running_node import PATIENCE, RunningNode
from tests.network.certificates import authority
from tests.peers import environment, program, require_mounts

ALL = dict.fromkeys(CASES, "encrypted") | {"no-starttls": "clear"}
TRUSTING = {"smtp_tls_CAfile": "{folder}/authority.pem"}


@dataclass(frozen=True)
class Level:
    """How a Postfix's client is set, what becomes of its mail, and what is said of it."""

    settings: Mapping[str, str]
    outcomes: Mapping[str, str]
    answers: Mapping[str, str]


LEVELS = {
    "may": Level(
        {"smtp_tls_security_level": "may"},
        ALL,
        {"tls": "yes", "requires-tls": "no", "sni": "no", "dane": "no", "mta-sts": "no"},
    ),
    "none": Level(
        {"smtp_tls_security_level": "none"},
        dict.fromkeys(CASES, "clear"),
        {"tls": "no", "requires-tls": "no", "sni": "unknown", "dane": "no", "mta-sts": "no"},
    ),
    "encrypt": Level(
        {"smtp_tls_security_level": "encrypt"},
        ALL | {"no-starttls": "refused"},
        {"requires-tls": "yes", "verifies-always": "no", "dane": "no", "mta-sts": "no"},
    ),
    "dane": Level(
        {"smtp_tls_security_level": "dane"},
        ALL | {"bad-tlsa": "refused"},
        {"requires-tls": "no", "sni": "sometimes", "dane": "yes", "mta-sts": "no"},
    ),
    # It names no host: at the shared address nobody knows which one it left.
    "trusted": Level(
        {"smtp_tls_security_level": "verify", "smtp_tls_verify_cert_match": "hostname", **TRUSTING},
        ALL
        | {"no-starttls": "refused", "expired": "refused"}
        | {"wrong-name": "probably-refused", "sts": "probably-refused"},
        {"requires-tls": "yes", "verifies-always": "yes", "dane": "no", "mta-sts": "unknown"},
    ),
    "policy": Level(
        {"smtp_tls_security_level": "may", "smtp_tls_policy_maps": "{policies}", **TRUSTING},
        ALL | {"bad-tlsa": "refused", "sts": "refused"},
        {"requires-tls": "no", "verifies-always": "no", "dane": "yes", "mta-sts": "yes"},
    ),
}
"""Postfix's levels; `policy`: what our policy service says, of DANE and MTA-STS."""


@pytest.fixture(scope="module")
def inbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InboundNode]:
    with inbound_node(tmp_path_factory.mktemp("inbound")) as node:
        yield node


@pytest.fixture(scope="module")
def resolver() -> str:
    """Give an address of this run's own: where we are root, Postfix asks at its port 53."""
    pid = os.getpid()
    return f"127.55.{pid >> 8 & 0xFF}.{pid & 0xFF}" if os.geteuid() == 0 else IP


@pytest.fixture(scope="module")
def ours(
    inbound: InboundNode, resolver: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningNode]:
    with sending_node(tmp_path_factory.mktemp("ours"), inbound, resolver) as node:
        yield node


def test_our_own_node_keeps_to_dane_and_mta_sts(inbound: InboundNode, ours: RunningNode) -> None:
    """RFC 7672 §2.2, RFC 8461 §5"""
    token = inbound.new()["token"]
    for case in CASES:
        ours.send(to=f"{token}@{inbound.domain(case)}", sender="bob@sender.example")
    inbound.wait_outcomes(
        token,
        good="encrypted",
        expired="encrypted",
        wrong_name="encrypted",
        no_starttls="clear",
        bad_tlsa="refused",
        sts="refused",
    )
    assert inbound.answers(token) == {
        "tls": "yes",
        "requires-tls": "no",
        "falls-back-to-clear": "unknown",
        "sni": "yes",
        "verifies-always": "no",
        "dane": "yes",
        "mta-sts": "yes",
        "requiretls": "no",
    }


@pytest.fixture(scope="module")
def tokens(inbound: InboundNode, ours: RunningNode, resolver: str) -> dict[str, str]:
    """Give the tests that a Postfix has sent to, by its level."""
    require_root()
    require_mounts("postfix")
    tokens = {level: inbound.new()["token"] for level in LEVELS}
    port = free_port(IP)
    with ExitStack() as stack:
        files = stack.enter_context(postfix_files())
        _set_up(files, inbound, tokens, resolver, find_policies(ours))
        files.add_server(IP, port)
        postfix = stack.enter_context(running_postfix(files))
        queued = [
            submit(port, f"{token}@{inbound.domain(case)}", sender=f"{level}@writer.example")
            for level, token in tokens.items()
            for case in CASES
        ]
        for queue_id in queued:
            postfix.wait_log(rf"{queue_id}: to=<.*status=(sent|deferred|bounced)")
    return tokens


def find_policies(node: RunningNode) -> str:
    """Give the map that a Postfix asks a node by."""
    found = node.wait_log(r"answering Postfix on [^\n]*?(\d+\.\d+\.\d+\.\d+:\d+)")
    return f"socketmap:inet:{found[1]}:postfix"


def _set_up(
    files: PostfixFiles,
    inbound: InboundNode,
    tokens: Mapping[str, str],
    resolver: str,
    policies: str,
) -> None:
    (files.folder / "resolv.conf").write_text(f"nameserver {resolver}\noptions trust-ad\n")
    files.mounts = {"/etc/resolv.conf": files.folder / "resolv.conf"}
    (files.folder / "authority.pem").write_bytes(authority().pem)
    routes = ""
    for number, (name, level) in enumerate(LEVELS.items(), start=1):
        settings = {
            key: value.format(folder=files.folder, policies=policies)
            for key, value in level.settings.items()
        }
        files.add_client(
            name,
            smtp_bind_address=f"127.0.1.{number}",
            smtp_helo_name=f"{name}.postfix.test",
            **settings,
        )
        routes += "".join(
            f"{tokens[name]}@{inbound.domain(case)} {name}:{inbound.domain(case)}:"
            f"{inbound.port(case)}\n"
            for case in CASES
        )
    (files.folder / "transports").write_text(routes)
    files.settings = {
        "transport_maps": f"texthash:{files.folder / 'transports'}",
        "smtp_dns_support_level": "dnssec",
        "smtp_tls_dane_insecure_mx_policy": "dane",
    }


@pytest.mark.peer("postfix")
@pytest.mark.parametrize("name", LEVELS)
def test_a_postfix_is_told_what_its_level_does(
    inbound: InboundNode, tokens: Mapping[str, str], name: str
) -> None:
    level, token = LEVELS[name], tokens[name]
    wanted = {case.replace("-", "_"): outcome for case, outcome in level.outcomes.items()}
    inbound.wait_outcomes(token, **wanted)
    answers = inbound.answers(token)
    assert {question: answers[question] for question in level.answers} == level.answers


_EXIM = """\
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
deliver_drop_privilege = true
trusted_users = {account}
host_lookup =
keep_environment =
acl_not_smtp = accept

begin routers
out:
  driver = manualroute
  route_list = {routes}
  self = send
  transport = smtp

begin transports
smtp:
  driver = smtp
  allow_localhost = true
  interface = 127.0.2.1

begin retry
* * F,1d,1h
"""


@pytest.mark.peer("exim")
def test_an_exim_as_it_comes_encrypts_and_names_no_host(inbound: InboundNode) -> None:
    """It is given hosts by address, so there is no name to send, and no TLSA record to look at."""
    if os.geteuid() != 0:
        pytest.skip("missing: exim (it takes a configuration from root or its account only)")
    token = inbound.new()["token"]
    folder = Path(tempfile.mkdtemp(prefix="letterlock-exim-"))
    try:
        _send_by_exim(folder, inbound, token)
        inbound.wait_outcomes(token, **{case.replace("-", "_"): how for case, how in ALL.items()})
        answers = inbound.answers(token)
        assert answers["sni"] == answers["dane"] == answers["mta-sts"] == "no"
        assert answers["tls"] == "yes"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _send_by_exim(folder: Path, inbound: InboundNode, token: str) -> None:
    """Send a message to each host; all are delivered or deferred when this returns."""
    folder.chmod(0o755)
    routes = " ; ".join(f"{inbound.domain(case)} {IP}::{inbound.port(case)}" for case in CASES)
    config = folder / "config"
    config.write_text(_EXIM.format(folder=folder, account=ACCOUNT, routes=routes))
    for name in ("spool", "log"):
        (folder / name).mkdir()
        shutil.chown(folder / name, ACCOUNT)
    for case in CASES:
        subprocess.run(
            [
                *(program("exim4", "exim"), "-C", config, "-odf", "-i"),
                *("-f", "bob@example.net", f"{token}@{inbound.domain(case)}"),
            ],
            env=environment("exim"),
            input=b"Subject: x\n\nhi\n",
            user=ACCOUNT,
            group=ACCOUNT,
            extra_groups=[],
            cwd=folder,
            timeout=PATIENCE,
            check=True,
        )
