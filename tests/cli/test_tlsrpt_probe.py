"""`letterlock tlsrpt summary --probe`: what failing hosts show now, beside what reports told."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.cli.root import main
from letterlock.cli.tlsrpt_summary import SUMMARY_KEYS
from tests.interop.background import in_background, zones
from tests.misbehaving import Conduct, Server, serving
from tests.network.certificates import NOW, authority
from tests.protocols.tlsrpt.corpus import encode, make_document, make_failure, make_result

DOMAIN, MX, STRANGER = "good.example", "mx.good.example", "localhost"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    expired = authority().issue((MX,), now=NOW - timedelta(days=120))
    with in_background(serving(Conduct(expired))) as found:
        yield next(iter(found))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("summary")
    (folder / "data").mkdir()
    (folder / "ca.pem").write_bytes(authority().pem)
    records = {DOMAIN: f"@ MX 10 mx\nmx A {server.ip}"}
    with zones(records, authentic_data=True) as resolver:
        path = folder / "letterlock.toml"
        path.write_text(
            f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{folder / "data"}"
[deliver]
port = {server.port}
[policy]
trust_files = ["{folder / "ca.pem"}"]
[dns]
resolver = "{resolver}"
"""
        )
        (folder / "report.json").write_bytes(make_report())
        assert main(["tlsrpt", "import", str(folder / "report.json"), "--config", str(path)]) == 0
        yield str(path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterlock.node.report_probing.PACE_SECONDS", 0.0)


def make_report() -> bytes:
    day = SystemClock().now().date() - timedelta(1)
    failures = [
        make_failure(**{"result-type": "certificate-expired", "receiving-mx-hostname": host})
        for host in (MX, STRANGER)
    ]
    start, end = f"{day}T00:00:00Z", f"{day}T23:59:59Z"
    return encode(
        make_document(
            **{"date-range": {"start-datetime": start, "end-datetime": end}},
            policies=[make_result({"policy-domain": DOMAIN}, failure_details=failures)],
        )
    )


def test_each_failing_host_says_what_it_shows_now(
    config: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the code of `check`; whom a report names beside the domain's hosts nobody asks."""
    before = server.seen.connections
    code = main(["tlsrpt", "summary", DOMAIN, "--probe", "--json", "--config", config])
    document = json.loads(capsys.readouterr().out)
    assert code == 1
    now: dict[str, Any] = {
        each["receiving_mx_hostname"]: each["now"] for each in document["failures"]
    }
    assert now[MX]["asked"]
    assert "certificate-expired: CN=mx.good.example expired at " in now[MX]["says"]
    assert "; renew it, and load it into every server behind that name" in now[MX]["says"]
    assert now[MX]["addresses"][0]["ip"] == server.ip
    assert f"{MX}[{server.ip}]" in [each["where"] for each in now[MX]["findings"]]
    assert now[STRANGER] == {
        "asked": False,
        "says": "not asked: it is no MX host of good.example now",
        "findings": [],
        "addresses": [],
    }
    # As many as `check` makes to an address, and no more.
    assert 1 <= server.seen.connections - before <= 3
    assert "failures[].now" in SUMMARY_KEYS


def test_without_the_option_nobody_is_asked(
    config: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    before = server.seen.connections
    assert main(["tlsrpt", "summary", DOMAIN, "--json", "--config", config]) == 1
    document = json.loads(capsys.readouterr().out)
    assert all("now" not in each for each in document["failures"])
    assert server.seen.connections == before


def test_it_is_told_in_words_and_for_one_domain(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tlsrpt", "summary", DOMAIN, "--probe", "--config", config]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "certificate-expired: CN=mx.good.example expired at " in text
    assert "now localhost: not asked: it is no MX host" in text
    assert main(["tlsrpt", "summary", "--probe", "--config", config]) == 2
    assert "--probe is for one DOMAIN" in capsys.readouterr().err
