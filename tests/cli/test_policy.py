"""`letterlock policy explain` and `policy test`: the shape of the answer, exit codes, the story."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli.policy_explain import EXPLAIN_KEYS
from letterlock.cli.root import main
from letterlock.protocols.pki.throwaway_ca import Issued
from tests.interop.background import in_background, zones
from tests.misbehaving import Conduct, Seen, serving
from tests.network.certificates import authority
from tests.services.deliver.outbound import leaf
from tests.services.deliver.published import ANOTHERS, tlsa

ZONES = {
    "com": "@ NS ns.com.",
    "plain.example": """
        @ MX 10 mx
        @ MX 20 mx2
        mx A 127.0.0.1
        mx2 A 127.0.0.2
        _smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@plain.example"
        """,
    "signed.example": f"""
        @ MX 10 mx
        mx A 127.0.0.1
        _25._tcp.mx TLSA 3 1 1 {"11" * 32}
        _25._tcp.mx TLSA 1 1 1 {"22" * 32}
        """,
    "null.example": "@ MX 0 .",
    "all.example": f"""
        @ MX 10 mx
        mx A 127.0.0.1
        _25._tcp.mx TLSA 3 1 1 {"11" * 32}
        _mta-sts TXT "v=STSv1; id=1;"
        _smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@all.example"
        """,
    # The one in docs/guide/tls-policy.md.
    "partner.example": """
        @ MX 10 mx1
        @ MX 20 mx2
        mx1 A 192.0.2.1
        mx1 AAAA 2001:db8::1
        mx2 A 192.0.2.2
        _25._tcp.mx1 TLSA 3 1 1 8d02536c887482bc34ff54e41d2ba659bf85b341a0a20afadb5813dcfbcf286d
        _25._tcp.mx1 TLSA 1 1 1 8d02536c887482bc34ff54e41d2ba659bf85b341a0a20afadb5813dcfbcf286d
        _smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls-reports@partner.example"
        """,
}


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with zones(ZONES, authentic_data=True) as address:
        yield address


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no configuration, as for somebody who runs no node."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("letterlock.base.config.load.SYSTEM_CONFIG", tmp_path / "none.toml")


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["policy", *arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_it_works_without_a_configuration(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = ask(capsys, "explain", "bob@Plain.example", "--resolver", resolver)
    assert code == 0
    assert (document["domain"], document["next_hop"]) == ("plain.example", "plain.example")
    assert document["resolver"]["address"] == resolver
    assert document["mta_sts"] is None
    assert document["tlsrpt"] == {
        "record": "v=TLSRPTv1; rua=mailto:tls@plain.example",
        "rua": ["mailto:tls@plain.example"],
        "error": None,
    }
    assert (document["mx_status"], document["decision"]) == ("secure", "deliver")
    assert [(host["name"], host["preference"]) for host in document["hosts"]] == [
        ("mx.plain.example", 10),
        ("mx2.plain.example", 20),
    ]
    host = document["hosts"][0]
    assert host["addresses"] == [{"ip": "127.0.0.1", "status": "secure", "trial": None}]
    assert (host["tlsa_status"], host["tlsa_base"], host["tlsa"]) == ("none", None, [])
    assert host["requirement"]["level"] == "may"
    assert host["requirement"]["source"] == "opportunistic"
    assert (host["handshake"], host["verdict"]) == (None, None)


def test_records_are_shown_with_what_they_are_worth(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 7672 §3.1.3"""
    code, document = ask(capsys, "explain", "signed.example", "--resolver", resolver)
    (host,) = document["hosts"]
    assert code == 0
    assert host["tlsa"] == [
        {"record": f"3 1 1 {'11' * 32}", "usable": True, "why": None},
        {
            "record": f"1 1 1 {'22' * 32}",
            "usable": False,
            "why": "PKIX-EE(1) is not used for SMTP",
        },
    ]
    assert (host["tlsa_base"], host["tlsa_status"]) == ("mx.signed.example", "usable")
    requirement = host["requirement"]
    assert (requirement["source"], requirement["level"]) == ("dane", "dane")
    assert requirement["usable"] is True
    assert requirement["sni"] == "mx.signed.example"


@pytest.mark.parametrize(
    ("asked", "code", "decision", "status"),
    [
        ("null.example", 1, "bounce", "secure"),
        ("nothing.example", 1, "bounce", "secure"),
        ("[127.0.0.1]:2525", 0, "deliver", None),
        ("[mx.plain.example]", 0, "deliver", None),
    ],
)
def test_the_exit_code_says_whether_a_message_could_go(
    asked: str,
    code: int,
    decision: str,
    status: str | None,
    resolver: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given, document = ask(capsys, "explain", asked, "--resolver", resolver)
    assert (given, document["decision"], document["mx_status"]) == (code, decision, status)


def test_without_an_answer_nothing_is_decided(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = ask(capsys, "explain", "plain.example", "--resolver", "127.0.0.1:1")
    assert (code, document["decision"], document["mx_status"]) == (3, "undecidable", "failed")


@pytest.mark.parametrize(
    "arguments",
    [
        ["plain example"],
        ["bob@"],
        ["plain.example", "--resolver", "localhost"],
        ["plain.example", "--log", "no-such-file"],
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(
    arguments: list[str], resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [] if "--resolver" in arguments else ["--resolver", resolver]
    assert main(["policy", "explain", *arguments, *own]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_person_gets_a_story(resolver: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", "signed.example", "--resolver", resolver]) == 0
    story = capsys.readouterr().out
    assert "\x1b" not in story
    assert story.startswith("Mail for signed.example\n  decision   deliver: a message could go to")
    assert "mx.signed.example (preference 10)" in story
    assert "1 1 1 22222" in story
    assert "not usable: PKIX-EE(1) is not used for SMTP" in words(story)
    assert "a certificate that matches no usable TLSA record" in words(story)
    assert all(len(line) <= 100 for line in story.splitlines())


def words(story: str) -> str:
    """Give a story without its line breaks."""
    return " ".join(story.split())


@dataclass(frozen=True)
class Site:
    """A configuration of ours, and an MX host for example.com that takes no mail from tests."""

    config: Path
    seen: Seen
    issued: Issued


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    issued = leaf()
    with in_background(serving(Conduct(issued))) as (server,):
        records = f"@ MX 10 mx1\nmx1 A {server.ip}\n_{server.port}._tcp.mx1 TLSA {tlsa(issued)}\n"
        refused = f"@ MX 10 mx1\nmx1 A {server.ip}\n_{server.port}._tcp.mx1 TLSA {ANOTHERS}\n"
        own = {"com": "@ NS ns.com.", "example.com": records, "other.example": refused}
        with zones(own, authentic_data=True) as resolver:
            (folder / "trust.pem").write_bytes(authority().pem)
            config = folder / "letterlock.toml"
            config.write_text(f"""
                hostname = "out.example.org"
                domains = ["example.org"]
                contact = "postmaster@example.org"
                data_dir = "data"
                policy.trust_files = ["trust.pem"]
                dns.resolver = "{resolver}"
                deliver.port = {server.port}
            """)
            yield Site(config, server.seen, issued)


def test_a_handshake_is_done_and_judged_and_no_mail_begun(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 3207 §4.1: EHLO, STARTTLS, EHLO, QUIT."""
    code, document = ask(capsys, "test", "bob@example.com", "--config", str(site.config))
    assert (code, document["decision"]) == (0, "deliver")
    (host,) = document["hosts"]
    assert {"outcome", "result_type", "reason_code", "reason"} <= host["verdict"].keys()
    assert (host["verdict"]["outcome"], host["verdict"]["result_type"]) == ("authenticated", None)
    handshake = host["handshake"]
    assert set(handshake) == {"version", "cipher", "group", "sni", "chain", "errors", "alert"}
    assert (handshake["version"], handshake["sni"]) == ("TLSv1.3", "mx1.example.com")
    assert set(handshake["chain"][0]) == {
        *("subject", "issuer", "names", "serial", "not_before", "not_after", "key", "pem"),
    }
    (address,) = host["addresses"]
    assert address["trial"] == {"decision": "deliver", "reason": host["verdict"]["reason"]}
    said = [line.partition(" ")[0] for line, _ in site.seen.commands]
    assert said == ["EHLO", "STARTTLS", "EHLO", "QUIT"]
    assert site.seen.commands[0][0] == "EHLO out.example.org"


def test_a_host_that_does_not_prove_itself_is_bad_news(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 7672 §2.2"""
    code, document = ask(capsys, "test", "other.example", "--config", str(site.config))
    (host,) = document["hosts"]
    assert (code, document["decision"]) == (1, "defer")
    assert host["verdict"]["result_type"] == "validation-failure"
    (error,) = host["handshake"]["errors"]
    assert error["code"] == "dane-no-match"
    assert document["reason"].startswith("mx1.other.example: not verified: no TLSA record matches")
    code, document = ask(capsys, "explain", "other.example", "--config", str(site.config))
    assert (code, document["decision"]) == (0, "deliver"), "what is asked could be met"
    assert not site.seen.mails


def test_the_story_of_a_trial_has_its_handshake(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "test", "other.example", "--config", str(site.config)]) == 1
    story = words(capsys.readouterr().out)
    assert "decision defer: a message would wait" in story
    for label in ("tried 127.", "handshake TLSv1.3", "chain 0 "):
        assert label in story, story
    assert "verdict defer, validation-failure (dane-no-match)" in story


def test_what_the_log_says_is_added(
    resolver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "mail.log"
    relay = "mx.plain.example[127.0.0.1]:25"
    text = (
        f"Nov 22 02:39:05 a postfix/smtp[1]: Trusted TLS connection established to {relay}: "
        "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
        + "".join(
            f"Nov 22 02:39:0{second} a postfix/smtp[1]: {second}F: to=<bob@plain.example>, "
            f"relay={relay}, status={status} ({reason})\n"
            for second, status, reason in (
                (5, "sent", "ok \xff"),
                (6, "deferred", "no"),
                (7, "sent", "ok"),
            )
        )
    )
    log.write_bytes(text.encode("latin-1"))
    arguments = ("explain", "plain.example", "--resolver", resolver, "--log", str(log))
    _, document = ask(capsys, *arguments)
    assert document["log"] == {
        "file": str(log),
        "deliveries": {"sent": 2, "deferred": 1},
        "tls": {"Trusted": 1},
        "causes": {"ok": 1, "unknown": 1, "ok-plaintext-by-policy": 1},
        "last": {
            "time": "Nov 22 02:39:07",
            "relay": relay,
            "status": "sent",
            "reason": "ok",
            "cause": "ok-plaintext-by-policy",
        },
        "last_trouble": {
            "time": "Nov 22 02:39:06",
            "relay": relay,
            "status": "deferred",
            "reason": "no",
            "cause": "unknown",
        },
    }
    assert main(["policy", *arguments]) == 0
    story = words(capsys.readouterr().out)
    assert "deliveries 2 sent, 1 deferred" in story
    assert f"trouble Nov 22 02:39:06 {relay}: deferred: no" in story
    log.write_text("")
    assert main(["policy", *arguments]) == 0
    assert "deliveries none to this domain" in words(capsys.readouterr().out)


def test_settings_that_this_user_cannot_read_are_done_without(
    resolver: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "none.toml").write_text("nonsense")
    monkeypatch.setattr("os.access", lambda *_: False)
    code, document = ask(capsys, "explain", "plain.example", "--resolver", resolver)
    (note,) = document["notes"]
    assert code == 0
    assert "none.toml cannot be read by this user: the defaults are used" in note


def test_settings_that_are_wrong_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.toml").write_text("nonsense")
    assert main(["policy", "explain", "plain.example"]) == 2
    assert "none.toml:1:" in capsys.readouterr().err


PROMISED = {
    *("domain", "resolver.address", "resolver.trusted", "resolver.self_test", "mx_status"),
    *(f"mta_sts.{key}" for key in ("record", "id", "mode", "mx", "max_age", "fetched")),
    *("mta_sts.expires", "mta_sts.error", "mta_sts.result_type"),
    *("tlsrpt.record", "tlsrpt.rua", "tlsrpt.error"),
    *(f"hosts[].{key}" for key in ("name", "preference", "tlsa_base", "tlsa_status")),
    *("hosts[].addresses[].ip", "hosts[].addresses[].status"),
    *("hosts[].tlsa[].record", "hosts[].tlsa[].usable", "hosts[].tlsa[].why"),
    *(f"hosts[].requirement.{key}" for key in ("source", "level", "names", "sni")),
    *(f"hosts[].requirement.{key}" for key in ("min_version", "usable", "reason")),
    *("hosts[].handshake", "hosts[].verdict", "decision"),
}
"""What scripts may rely on; more keys stand beside them, and all are documented."""


def test_the_answer_has_just_the_keys_that_are_documented(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = ask(capsys, "explain", "all.example", "--resolver", resolver)
    assert code == 0
    assert document["mta_sts"]["result_type"] == "sts-policy-fetch-error"
    told = {key.removesuffix("[]") for key in _keys(document)}
    documented = {key.removesuffix("[]") for key in EXPLAIN_KEYS if not key.startswith("log")}
    inner = {key.rpartition(".")[0].removesuffix("[]") for key in documented if "." in key}
    assert told - inner == documented - inner
    assert told >= PROMISED


def _keys(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            inner = f"{path}.{key}" if path else key
            yield inner
            yield from _keys(each, inner)
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each, f"{path}[]")


SHARED = {
    "handshake": {"version", "cipher", "group", "sni", "chain", "errors", "alert"},
    "verdict": {"outcome", "result_type", "reason_code", "reason"},
}
CERTIFICATE = {"subject", "issuer", "names", "serial", "not_before", "not_after", "key", "pem"}


def test_a_handshake_and_a_verdict_have_the_shapes_that_they_have_everywhere(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    _, document = ask(capsys, "test", "example.com", "--config", str(site.config))
    host = document["hosts"][0]
    for name, keys in SHARED.items():
        assert set(host[name]) >= keys
    assert set(host["handshake"]) == SHARED["handshake"]
    assert set(host["handshake"]["chain"][0]) == CERTIFICATE


def test_every_key_of_the_answer_is_documented(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mail.log").touch()
    log = ("--log", str(tmp_path / "mail.log"))
    _, document = ask(capsys, "test", "example.com", "--config", str(site.config), *log)
    told = set(EXPLAIN_KEYS)
    for path in _paths(document):
        assert any(path == key or path.startswith((f"{key}.", f"{key}[")) for key in told), path


def _paths(value: object, path: str = "") -> Iterator[str]:
    match value:
        case dict():
            for key, each in value.items():
                yield from _paths(each, f"{path}.{key}" if path else key)
        case list():
            for each in value:
                yield from _paths(each, f"{path}[]")
        case _:
            yield path


@pytest.mark.parametrize(("variable", "has_colours"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_colours_are_for_terminals(
    variable: str,
    has_colours: bool,
    resolver: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, "1")
    assert main(["policy", "explain", "null.example", "--resolver", resolver]) == 1
    assert ("\x1b" in capsys.readouterr().out) is has_colours


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "tls-policy.md"
COMMAND = "$ letterlock policy explain bob@partner.example\n"


def test_the_guide_shows_what_is_shown(resolver: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", "bob@partner.example", "--resolver", resolver]) == 0
    shown = capsys.readouterr().out.replace(resolver, "127.0.0.1:53")
    recorded = GUIDE.read_text().partition(COMMAND)[2].partition("```")[0]
    # A resolver's port is longer here, and lines may break elsewhere.
    assert words(shown) == words(recorded) != ""
