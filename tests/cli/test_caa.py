"""`letterlock caa check`: exit codes, the documents, the story, and batches."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli.caa_check import CHECK_KEYS
from letterlock.cli.root import main
from tests.dnssec_lab.lab import DnssecLab
from tests.interop.background import zones

ACCOUNT = "https://ca.example/acct/1"
ZONES = {
    "com": "@ NS ns.com.",
    "example": "@ NS ns.example.",
    "free.example": "@ A 192.0.2.1",
    "ours.example": """
        @      CAA   0 issue "ca.example"
        @      CAA   0 iodef "mailto:security@ours.example"
        alias  CNAME ours.example.
        """,
    "others.example": '@ CAA 0 issue "other.example"',
    "limited.example": f"""
        @ CAA 0 issue "ca.example; accounturi={ACCOUNT}; validationmethods=dns-01"
        """,
    "wild.example": '@ CAA 0 issue "ca.example"\n@ CAA 0 issuewild ";"',
    "critical.example": '@ CAA 128 tbs "Unknown"\n@ CAA 0 issue "ca.example"',
    # The one in docs/guide/caa.md.
    "partner.example": """
        @ CAA 0 issue "letsencrypt.org; validationmethods=dns-01"
        @ CAA 0 issuewild ";"
        @ CAA 0 iodef "mailto:security@partner.example"
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


def check(resolver: str, *arguments: str, issuer: str = "ca.example") -> int:
    return main(["caa", "check", "--resolver", resolver, "--issuer", issuer, *arguments])


def shape(value: Any, path: str = "") -> set[str]:
    """Give the paths of a document as the reference names them."""
    if isinstance(value, dict) and path != "record":
        return {
            found
            for key, inner in value.items()
            for found in shape(inner, f"{path}.{key}" if path else key)
        }
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {found for inner in value for found in shape(inner, f"{path}[]")}
    return {path}


@pytest.mark.parametrize(
    ("names", "options", "code"),
    [
        (["free.example"], [], 0),
        (["mail.free.example", "ours.example", "alias.ours.example"], [], 0),
        (["others.example"], [], 1),
        (["free.example", "mail.others.example"], [], 1),
        (["wild.example"], [], 0),
        (["*.wild.example"], [], 1),
        (["*.free.example"], [], 0),
        (["critical.example"], [], 1),
        (["limited.example"], [], 3),
        (["limited.example"], ["--account", ACCOUNT], 3),
        (["limited.example"], ["--account", ACCOUNT, "--method", "dns-01"], 0),
        (["limited.example"], ["--account", ACCOUNT, "--method", "http-01"], 1),
        (["limited.example"], ["--account", "https://ca.example/acct/2"], 1),
        (["nothing.invalid"], [], 3),
        (["nothing.invalid", "free.example"], [], 3),
        (["nothing.invalid", "others.example"], [], 1),
        (["FREE.example.", "bücher.free.example"], [], 0),
    ],
)
def test_the_exit_code_is_the_answer(
    resolver: str, names: list[str], options: list[str], code: int
) -> None:
    assert check(resolver, *names, *options) == code


@pytest.mark.parametrize(
    "name", ["free.example", "others.example", "ours.example", "nothing.invalid"]
)
def test_documents_have_the_documented_keys(
    resolver: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(resolver, "--json", name)
    document = json.loads(capsys.readouterr().out)
    lists = {"records", "lookups"}
    found = {path for path in shape(document) if path not in lists}
    expected = {key for key in CHECK_KEYS if document["records"] or not key.startswith("records[]")}
    assert found == expected


def test_each_name_has_a_document_on_its_own_line(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 8659 §3: each name by itself."""
    check(resolver, "--json", "mail.others.example", "*.wild.example", "free.example")
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["decision"] == "deny"
    assert first["found_at"] == "others.example"
    assert first["record"] == {"flags": 0, "tag": "issue", "value": "other.example"}
    assert first["records"] == [
        {
            "flags": 0,
            "tag": "issue",
            "value": "other.example",
            "effect": "other-issuer",
            "reason": "it allows other.example, not ca.example",
        }
    ]
    assert first["reason"] == (
        'CAA 0 issue "other.example" at others.example: it allows other.example, not ca.example'
    )
    assert first["remedy"] == 'others.example. CAA 0 issue "ca.example"'
    assert first["dnssec"] == "secure"
    assert [lookup["existence"] for lookup in first["lookups"]] == ["nxdomain", "records"]
    assert (second["name"], second["decision"]) == ("*.wild.example", "deny")
    assert (third["decision"], third["found_at"], third["records"]) == ("allow", None, [])


def test_where_a_domain_wants_to_be_told_is_told(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 8659 §4.4"""
    check(resolver, "--json", "mail.partner.example", "free.example")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["report_to"] == ["security@partner.example"]
    assert second["report_to"] == []


STORY = """\
mail.partner.example by letsencrypt.org, by http-01
  decision   denied: CAA 0 issue "letsencrypt.org; validationmethods=dns-01"
             at partner.example: it is for other methods than http-01:
             dns-01
  asked      mail.partner.example: no such name (DNSSEC vouches for it, TTL
             60)
             partner.example: 3 records (DNSSEC vouches for it, TTL 60)
  records    0 iodef "mailto:security@partner.example": it says where to
             report to, not who may issue
             0 issue "letsencrypt.org; validationmethods=dns-01": it is for
             other methods than http-01: dns-01
             0 issuewild ";": it is for wildcards only
  to allow   publish partner.example. CAA 0 issue "letsencrypt.org;
             validationmethods=http-01"
"""


def test_the_story_is_the_one_of_the_guide(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(resolver, "mail.partner.example", "--method", "http-01", issuer="letsencrypt.org")
    assert capsys.readouterr().out == STORY
    guide = Path(__file__).parents[2] / "docs" / "guide" / "caa.md"
    assert STORY in guide.read_text("utf-8")


def test_a_story_tells_of_aliases_failures_and_what_to_add(
    resolver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(resolver, "alias.ours.example", "limited.example", "nothing.invalid")
    first, second, third = capsys.readouterr().out.split("\n\n")
    assert "alias.ours.example, an alias of ours.example: 2 records" in first
    assert "to decide  tell who asks and how it is validated: --account, --method" in second
    assert "decision   undecided: CAA of invalid is not known: there is no such" in third


def test_who_asks_is_told(resolver: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(resolver, "free.example", "--account", ACCOUNT, "--method", "dns-01")
    head = capsys.readouterr().out.splitlines()[0]
    assert head == f"free.example by ca.example, account {ACCOUNT}, by dns-01"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "give NAMEs, or --batch FILE"),
        (["free.example", "--batch", "x"], "give NAMEs, or --batch FILE"),
        (["a b"], "name: 'a b' is not a label of a domain name"),
        (["a.*.example"], "name: '*' is not a label of a domain name"),
        (["192.0.2.1"], "name: 192.0.2.1 is an address, and CAA is about domain names"),
        (["free.example", "--issuer", "a b"], "issuer: 'a b' is not a label of a domain name"),
        (["free.example", "--account", "1"], "account: '1' is no URI"),
        (["free.example", "--method", "a,b"], "method: 'a,b' is no validation method"),
        (["free.example", "--resolver", "x"], "--resolver: not "),
        (["--batch", "none.jsonl"], "none.jsonl: cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    resolver: str, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(resolver, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"letterlock: {text}")
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_an_issuer_must_be_given(resolver: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["caa", "check", "--resolver", resolver, "free.example"]) == 2
    assert "issuer: is missing" in capsys.readouterr().err


def test_a_resolver_whose_word_does_not_count_is_noted(
    resolver: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("letterlock.network.dns._is_loopback", lambda _: False)
    assert check(resolver, "--json", "free.example") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["dnssec"] == "insecure"
    assert shown.err.startswith(f"letterlock: note: the word of {resolver} on DNSSEC does not")


def test_settings_that_cannot_be_read_are_noted(
    resolver: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "none.toml").write_text("")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert check(resolver, "free.example") == 0
    assert "cannot be read by this user" in capsys.readouterr().err


# Batches


def write_batch(folder: Path, *lines: str | dict[str, str]) -> str:
    path = folder / "names.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join([*texts, ""]), "utf-8")
    return str(path)


def test_a_batch_is_answered_in_its_order(
    resolver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_batch(
        tmp_path,
        {"name": "others.example"},
        {"name": "others.example", "issuer": "other.example"},
        {"name": "limited.example"},
        "",
        {"name": "limited.example", "account": ACCOUNT, "method": "dns-01", "more": "ignored"},
    )
    assert check(resolver, "--batch", path) == 1
    shown = capsys.readouterr()
    assert [line.split(":")[0] for line in shown.out.splitlines()] == [
        "denied    others.example",
        "allowed   others.example",
        "undecided limited.example",
        "allowed   limited.example",
    ]
    assert shown.err == "4 checked: 2 allowed, 1 denied, 1 undecided\n"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ([], 0),
        (["free.example"], 0),
        (["free.example", "others.example"], 1),
        (["free.example", "nothing.invalid"], 3),
        (["nothing.invalid", "others.example"], 1),
    ],
)
def test_the_exit_code_of_a_batch(
    resolver: str, tmp_path: Path, names: list[str], code: int
) -> None:
    path = write_batch(tmp_path, *({"name": name} for name in names))
    assert check(resolver, "--batch", path) == code


def test_lines_that_cannot_be_read_are_told_and_the_others_checked(
    resolver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_batch(
        tmp_path,
        "free.example",
        "[" * 100_000,
        '{"name": 1}',
        '{"issuer": "ca.example"}',
        {"name": "a b"},
        {"name": "free.example", "issuer": "a b"},
        {"name": "free.example", "method": "a b"},
        {"name": "free.example", "account": "a"},
        "\udcff".encode("utf-8", "replace").decode(),
        {"name": "free.example"},
    )
    assert check(resolver, "--json", "--batch", path) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["name"] == "free.example"
    lines = shown.err.splitlines()
    assert [line.split(": ", 2)[1].rpartition(":")[2] for line in lines[:-1]] == list("123456789")
    assert lines[0].endswith('not a JSON object such as {"name": "example.org"}')
    assert lines[2].endswith("name: must be a text")
    assert lines[3].endswith("name: is missing")
    assert lines[5].endswith("issuer: 'a b' is not a label of a domain name")
    assert lines[-1] == "1 checked: 1 allowed, 0 denied, 0 undecided"


def test_a_batch_may_come_from_standard_input(
    resolver: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stdin:
        buffer = io.BytesIO(b'{"name": "free.example"}\n{"name": "others.example"}\n')

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert check(resolver, "--batch", "-") == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_progress_is_shown_on_a_terminal(
    resolver: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_batch(tmp_path, *({"name": f"n{number}.free.example"} for number in range(100)))
    monkeypatch.setattr("letterlock.cli.caa_check.PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert check(resolver, "--json", "--batch", path) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 100
    assert shown.err.count("\r") == 101
    assert shown.err.endswith("100 checked: 100 allowed, 0 denied, 0 undecided\n")


# Through DNSSEC


@pytest.mark.parametrize(
    ("name", "code", "dnssec", "reason"),
    [
        ("x.caa.unsigned.example", 0, "insecure", "it allows ca.example"),
        ("mx1.secure.example", 0, "secure", "there are no CAA records"),
        ("x.caa.secure.example", 1, "secure", "it is critical, and its tag is not known here"),
        ("caa.bogus.example", 3, "bogus", "CAA of caa.bogus.example is not known: DNSSEC val"),
        ("to-bogus-caa.secure.example", 3, "bogus", "is not known: DNSSEC validation failed"),
    ],
)
def test_what_is_forged_is_never_permission(
    dnssec_lab: DnssecLab,
    name: str,
    code: int,
    dnssec: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """RFC 8659 §5.1, §6.4; rule 162"""
    host, port = dnssec_lab.resolver
    assert check(f"{host}:{port}", "--json", name) == code
    document = json.loads(capsys.readouterr().out)
    assert document["dnssec"] == dnssec
    assert reason in document["reason"]
