"""`letterlock check`: the document, exit codes, the story; servers that misbehave, real DNS."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli.check import CHECK_KEYS
from letterlock.cli.check_html import format_domain
from letterlock.cli.root import main
from letterlock.protocols.check.senders import SENDERS
from tests.free_ports import free_port
from tests.interop.background import in_background, zones
from tests.misbehaving import Conduct, Server, serving
from tests.network.certificates import authority, issue

HOSTS = ("mx.good.example", "mx.clear.example", "mx.busy.example")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    conducts = (
        Conduct(issue((HOSTS[0],))),
        Conduct(has_starttls=False),
        Conduct(answers={"banner": "421 4.3.2 too many connections"}),
    )
    with in_background(serving(*conducts)) as found:
        yield list(found)


@pytest.fixture(scope="module")
def resolver(servers: list[Server]) -> Iterator[str]:
    records = {
        "com": "@ NS ns.com.",
        **{
            host.partition(".")[2]: f"@ MX 10 mx\nmx A {server.ip}"
            for host, server in zip(HOSTS, servers, strict=True)
        },
        "null.example": "@ MX 0 .",
        "half.example": f"@ MX 10 mx\n@ MX 20 our\\032host\nmx A {servers[0].ip}",
    }
    with zones(records, authentic_data=True) as address:
        yield address


@pytest.fixture
def config(tmp_path: Path, servers: list[Server], resolver: str) -> str:
    (tmp_path / "ca.pem").write_bytes(authority().pem)
    path = tmp_path / "letterlock.toml"
    path.write_text(
        f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{tmp_path / "data"}"
[deliver]
port = {servers[0].port}
[policy]
trust_files = ["{tmp_path / "ca.pem"}"]
[dns]
resolver = "{resolver}"
"""
    )
    return str(path)


def check(config: str, *arguments: str) -> int:
    quick = ("--pace", "0", "--timeout", "5", "--retries", "0")
    return main(["check", "--config", config, *quick, *arguments])


def test_the_document_of_a_good_domain(
    config: str, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    before = servers[0].seen.connections
    # An address of loopback is one fault that every domain of the tests has.
    assert check(config, "--json", "good.example") == 1
    document = json.loads(capsys.readouterr().out)
    (host,) = document["hosts"]
    assert (document["domain"], host["name"]) == ("good.example", HOSTS[0])
    (address,) = host["addresses"]
    assert (address["state"], address["ip"]) == ("ok", servers[0].ip)
    asked = [(probe["asked"], probe["sni"], probe["state"]) for probe in address["probes"]]
    assert asked == [
        ("own", HOSTS[0], "ok"),
        ("none", None, "ok"),
        ("wrong", "unknown.invalid", "ok"),
        ("own", HOSTS[0], "not tested"),
    ]
    assert address["probes"][0]["handshake"]["chain"][0]["names"] == [HOSTS[0]]
    outcomes = {each["sender"]: each["outcome"] for each in document["verdicts"]}
    assert set(outcomes) == {each.name for each in SENDERS}
    assert outcomes["verify-no-sni"] == "authenticated"
    assert outcomes["dane-only"] == "defer"
    live = [each for each in document["findings"] if each["where"].startswith(HOSTS[0] + "[")]
    assert [each["id"] for each in live if each["severity"] != "info"] == []
    # The paths of what is not null here.
    assert set(_paths(document)) <= set(CHECK_KEYS)
    assert servers[0].seen.connections == before + 3
    assert servers[0].seen.mails == []


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Give the paths of a document; those of shapes that are described elsewhere end there."""
    if path in CHECK_KEYS or path.startswith("resolver"):
        yield path if path in CHECK_KEYS else "resolver"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, f"{path}[]")
    else:
        yield path


def test_a_domain_of_a_file_that_is_none_is_told_with_its_line(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list"
    listed.write_text("# ours\nclear.example\nnone of them\n")
    assert check(config, "--file", str(listed)) == 2
    assert capsys.readouterr().err.startswith(f"letterlock: {listed}:3: none of them: ")


def test_several_domains_are_a_list_and_a_file_may_name_them(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text("# ours\nclear.example  # in clear\n\nbusy.example\n")
    assert check(config, "--json", "null.example", "--file", str(tmp_path / "list")) == 1
    documents = {each["domain"]: each for each in json.loads(capsys.readouterr().out)}
    assert documents.keys() == {"null.example", "clear.example", "busy.example"}
    found = {
        domain: {each["id"] for each in document["findings"]}
        for domain, document in documents.items()
    }
    assert "mx-null" in found["null.example"]
    assert "starttls-not-offered" in found["clear.example"]
    assert "host-blocked-us" in found["busy.example"]
    (host,) = documents["busy.example"]["hosts"]
    assert host["addresses"][0]["state"] == "blocked"
    outcomes = {each["outcome"] for each in documents["busy.example"]["verdicts"]}
    assert outcomes == {"undecidable", "defer"}
    assert {each["outcome"] for each in documents["null.example"]["verdicts"]} == {"bounce"}


def test_the_story_says_who_gets_through_and_what_to_do(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config, "clear.example", "busy.example") == 1
    captured = capsys.readouterr()
    story = " ".join(captured.out.split())
    assert "Gmail, Outlook: MTA-STS: arrives in CLEAR" in story
    assert "Postfix at level verify: WAITS: TLS is required" in story
    assert "to do: switch TLS on" in story
    assert "blocked, it said 421 4.3.2 too many connections" in story
    assert "\x1b" not in captured.out


def test_what_every_kind_of_sender_meets_is_told_once_where_no_mail_arrives(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 7505 §3: a null MX is the same for all of them; JSON has each."""
    assert check(config, "null.example") == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if line.startswith("  mail ")]
    assert [line[:45] for line in told] == ["  mail       every kind of sender: is RETURNE"]
    check(config, "--json", "null.example")
    document = json.loads(capsys.readouterr().out)
    assert len(document["verdicts"]) > 5
    found = [(each["id"], each["severity"], each["rfc"]) for each in document["findings"]]
    assert ("mx-null", "notice", "RFC 7505 §3") in found
    assert {severity for _, severity, _ in found} <= {"notice", "info"}


def test_an_mx_record_that_names_no_domain_name_is_told(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 5321 §5.1: senders pass over it, which nobody else tells."""
    check(config, "half.example")
    story = " ".join(capsys.readouterr().out.split())
    assert "notice mx-invalid at half.example: what an MX record names has to be a host" in story
    assert r"a name in it is no domain name ('our\032host.half.example')" in story
    assert "to do: name a host there, or remove that record" in story


def test_a_resolver_that_does_not_answer_is_no_fault_of_the_domain(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = ("--resolver", f"127.0.0.1:{free_port('127.0.0.1')}")
    assert check(config, "good.example", *silent) == 3
    story = " ".join(capsys.readouterr().out.split())
    assert "every kind of sender: not known: the resolver answers no question: MX of" in story
    assert "no-route" not in story
    assert check(config, "--json", f"{HOSTS[0]}:25", *silent) == 3
    document = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in document["findings"]] == ["resolver-silent"]
    (reason,) = document["undecided"]
    assert "cannot be asked: Connection refused" in reason
    # It answers for others: what it can't find of this domain, others can't find either.
    assert check(config, "--json", "nowhere.test") == 1
    found = [each["id"] for each in json.loads(capsys.readouterr().out)["findings"]]
    assert "no-route" in found


def test_one_service_is_asked_about_by_host_and_port(
    config: str, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{HOSTS[0]}:{servers[0].port}"
    assert check(config, "--json", place, "--starttls", "smtp") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["domain"], document["verdicts"]) == (place, [])
    assert [each["severity"] for each in document["findings"] if each["severity"] != "info"] == []
    by_address = f"[{servers[0].ip}]:{servers[0].port}"
    assert check(config, by_address, "--starttls", "smtp") == 0
    # It speaks SMTP first, which is no TLS.
    assert check(config, place, "--tls") == 1
    assert "handshake-failed" in capsys.readouterr().out
    busy = f"{HOSTS[2]}:{servers[2].port}"
    assert check(config, busy, "--starttls", "smtp") == 3


def test_what_is_different_from_the_last_run(
    config: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert check(config, "--diff", "null.example") == 0
    assert "there is no earlier run" in capsys.readouterr().out
    assert check(config, "--diff", "--json", "null.example") == 0
    difference = json.loads(capsys.readouterr().out)["diff"]
    assert difference.pop("since").endswith("Z")
    assert difference == {"new": [], "gone": [], "changed": [], "verdicts": []}
    (kept,) = (tmp_path / "state" / "letterlock" / "check").iterdir()
    document = json.loads(kept.read_text())
    gone = document["findings"][0] | {"id": "expired"}
    document["findings"] = [*document["findings"][1:], gone]
    for verdict in document["verdicts"][:2]:
        verdict["outcome"] = "authenticated"
    kept.write_text(json.dumps(document))
    assert check(config, "--diff", "null.example") == 0
    story = " ".join(capsys.readouterr().out.split())
    assert "opportunistic, opportunistic-no-sni: authenticated -> bounce (since 20" in story
    assert "gone: expired at" in story
    assert "new: " in story


class _Reader(HTMLParser):
    """Collects elements, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def _read_page(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    return reader


def test_the_page_has_all_of_it_and_runs_nothing(config: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert check(config, "clear.example", "null.example", "--html", str(path)) == 1
    page = _read_page(path.read_text())
    assert "script" not in page.tags
    assert not {each for each in page.attributes if each in ("src", "href", "style", "onclick")}
    assert "default-src 'none'" in path.read_text()
    for said in ("clear.example", "arrives in clear", "starttls-not-offered", "is returned"):
        assert said in page.text


def test_what_was_said_is_told_to_who_asks(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 5321 §3.1, §3.2: in the page it is folded, and the browser needs no script for it."""
    path = tmp_path / "report.html"
    assert check(config, "clear.example", "--verbose", "--html", str(path)) == 1
    story = " ".join(capsys.readouterr().out.split())
    assert re.search(r"with its name, at 20[-\dT:]+Z: connect [\d.]+ m?s, banner ", story)
    assert "< 220 mx.test ESMTP > EHLO" in story
    page = _read_page(path.read_text())
    assert page.tags.count("details") == page.tags.count("pre") == 1
    assert "> STARTTLS\n" in page.text
    assert check(config, "clear.example", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    (probe,) = document["hosts"][0]["addresses"][0]["probes"]
    assert probe["transcript"][0] == "< 220 mx.test ESMTP"
    assert [*probe["times"]] == ["connect", "banner", "ehlo", "starttls"]
    assert all(seconds >= 0 for seconds in probe["times"].values())
    assert datetime.fromisoformat(probe["begun"]).tzinfo is UTC
    check(config, "clear.example")
    assert "< 220" not in capsys.readouterr().out


def test_the_page_has_a_table_of_renewals() -> None:
    case = {"case": "same-key", "outcome": "kept", "matches": ["3 1 1 aa"], "open": ["2 1 1 bb"]}
    host = {"name": "mx.x.example", "error": None, "addresses": [], "renewal": [case]}
    publish = {"tlsa_missing": ["_25._tcp.mx.x.example. IN TLSA 3 1 1 cc"], "tlsa_wait": None}
    document: dict[str, Any] = {
        "domain": "x.example",
        "no_route": None,
        "verdicts": [],
        "findings": [],
    }
    reader = _read_page("".join(format_domain(document | {"hosts": [host | publish]})))
    assert "When its certificate is renewed" in reader.text
    for said in ("with the same key", "a record matches", "3 1 1 aa; 2 1 1 bb", "TLSA 3 1 1 cc"):
        assert said in reader.text
    without = "".join(format_domain(document | {"hosts": [host | {"renewal": []}]}))
    assert "When its certificate is renewed" not in without


def test_nothing_from_outside_is_markup() -> None:
    """Names, replies and certificates are strangers' words."""
    evil = "<script>alert(1)</script>\"'&\x1b[31m"
    finding = dict.fromkeys(("id", "where", "evidence", "rfc", "fix"), evil)
    verdict = dict.fromkeys(("who", "reason", "result_type"), evil)
    probe: dict[str, Any] = {"asked": "own", "key": None, "state": evil, "detail": evil}
    probe |= {"begun": evil, "times": {evil: 1.25}, "transcript": [evil, evil]}
    address = {"ip": evil, "state": evil, "detail": evil, "probes": [probe]}
    document = {
        "domain": evil,
        "no_route": evil,
        "verdicts": [verdict | {"outcome": "defer"}],
        "findings": [finding | {"severity": each} for each in ("critical", "info")],
        "hosts": [
            {
                "name": evil,
                "error": None,
                "addresses": [address],
                "renewal": [{"case": "new-key", "outcome": "lost", "matches": [evil], "open": []}],
                "tlsa_missing": [evil],
                "tlsa_wait": 7200,
            },
            {"name": None, "error": evil, "addresses": []},
            {"name": None, "error": None, "addresses": [address | {"probes": []}]},
        ],
    }
    reader = _read_page("".join(format_domain(document)))
    assert "script" not in reader.tags
    assert reader.text.count("<script>alert(1)</script>\"'&?[31m") > 24
    assert "Nothing." in "".join(format_domain(document | {"findings": []}))


def test_a_page_that_cannot_be_written_is_one_line(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config, "null.example", "--html", str(tmp_path / "none" / "x.html")) != 0
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a domain"),
        (("mail.good.example:4190",), "say what is spoken there"),
        (("mail.good.example:993", "--tls", "--starttls", "imap"), "cannot both be"),
        (("a..b",), "a..b"),
        (("good.example", "--watch", "--deep"), "--watch and --deep cannot both be"),
        (("good.example", "--watch", "--verbose"), "--watch and --verbose cannot both be"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: tuple[str, ...], said: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_host_that_is_asked_from_itself_is_looked_at_as_by_others(
    config: str, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 5321 §5.1: that it would loop is for its own mail; whoever checks is to be told."""
    path = Path(config)
    place = f"{servers[0].ip}:{servers[0].port}"
    settings = path.read_text().replace('"mx.example.net"', f'"{HOSTS[0]}"')
    path.write_text(f'{settings}[receive]\nlisten = ["{place}"]\n')
    check(config, "--json", "good.example", "clear.example")
    documents = {each["domain"]: each for each in json.loads(capsys.readouterr().out)}
    assert {name: each["asked_from_itself"] for name, each in documents.items()} == {
        "good.example": True,
        "clear.example": False,
    }
    assert documents["good.example"]["no_route"] is None
    assert documents["good.example"]["hosts"][0]["addresses"][0]["state"] == "ok"
    check(config, "good.example")
    assert "note one of the hosts is this very one" in " ".join(capsys.readouterr().out.split())
