"""`letterlock incident check`: exit codes, the document, the story, hosts and names from DNS."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.errors import LocalError
from letterlock.cli import progress
from letterlock.cli.incident_check import CHECK_KEYS
from letterlock.cli.root import main
from letterlock.protocols.pki.throwaway_ca import Shape, ThrowawayCa
from letterlock.storage.serial_lists import index
from tests.fakes import START
from tests.interop.background import in_background, zones
from tests.misbehaving import Conduct, Server, TlsConduct, serving
from tests.protocols.incidents.test_lists import line

CA = ThrowawayCa("Ca", START)
SERIAL = "0362aabbccddeeff00112233445566778899"
AFFECTED = CA.issue(["mx.example"], now=START, shape=Shape(serial=int(SERIAL, 16)))
FREE = CA.issue(["mx.example"], now=START)


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no configuration, as for somebody who runs no node."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("letterlock.base.config.load.SYSTEM_CONFIG", tmp_path / "none.toml")
    Path("list").write_text(line("03ab") + line(SERIAL) + line(""))
    Path("affected.pem").write_bytes(AFFECTED.chain_pem)
    Path("free.der").write_bytes(FREE.der)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that shows an affected certificate to those who ask for no name."""
    conduct = Conduct(AFFECTED, tls=TlsConduct(by_sni=(("mx.example", FREE),)))
    with in_background(serving(conduct)) as (running,):
        yield running


def check(*arguments: str) -> int:
    return main(["incident", "check", "--list", "list", *arguments])


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (["free.der"], 0),
        (["affected.pem"], 1),
        (["free.der", "affected.pem"], 1),
        (["free.der", "none.pem"], 3),
        (["list"], 3),
        (["none.pem", "affected.pem"], 1),
    ],
)
def test_the_exit_code_is_the_answer(files: list[str], code: int) -> None:
    assert check(*(each for file in files for each in ("--cert", file))) == code


def test_the_document_has_the_documented_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--json", "--cert", "affected.pem", "--cert", "free.der", "--cert", "none") == 1
    document = answer(capsys)
    assert document["list"] == {
        "source": "list",
        "entries": 2,
        "form": "lets-encrypt-2020",
        "unreadable": 1,
    }
    keys = {f"list.{key}" for key in document["list"]} | {"not_offered"}
    for result in document["results"]:
        assert {f"results[].{key}" for key in result} | keys == CHECK_KEYS.keys()
    affected, free, unknown = document["results"]
    assert affected["serial"] == SERIAL
    assert affected["entry"] == " ".join(line(SERIAL).split())
    assert affected["place"] == 2
    assert [each["affected"] for each in document["results"]] == [True, False, None]
    assert (free["entry"], unknown["serial"], unknown["entry"]) == (None, None, None)
    assert unknown["reason"] == "cannot be read: No such file or directory"


def test_lines_without_a_serial_number_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--cert", "free.der") == 0
    captured = capsys.readouterr()
    assert "lines without a serial number that can be read: 1;" in captured.err
    assert "0 affected, 1 not affected, 0 not known; 2 serial numbers in list" in captured.out


def test_the_story_says_what_is_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--cert", "affected.pem") == 1
    story = " ".join(capsys.readouterr().out.split())
    assert story.startswith(f"AFFECTED: affected.pem serial {SERIAL} (ec-secp256r1)")
    assert "names mx.example" in story
    assert "listed at 2: serial 0362" in story
    assert "to do renew it now" in story


def test_a_host_is_found_by_dns_and_asked_with_its_name_and_without(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 6066 §3: whoever asked with the name alone saw nothing wrong."""
    with zones({"example": f"@ NS ns.example.\nmx A {server.ip}"}) as resolver:
        host = f"mx.example:{server.port}"
        assert check("--json", "--resolver", resolver, "--host", host) == 1
        free, affected = answer(capsys)["results"]
        assert free["source"] == affected["source"] == f"{host} [{server.ip}]"
        assert (free["affected"], free["asked"]) == (False, ["SNI mx.example"])
        assert (affected["affected"], affected["asked"]) == (True, ["no SNI"])
        none = f"none.example:{server.port}"
        assert check("--json", "--resolver", resolver, "--host", none) == 3
        assert answer(capsys)["results"][0]["reason"] == "the host none.example does not exist"


def test_where_no_resolver_can_be_asked_the_rest_is_answered_all_the_same(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LocalError("no resolver")

    monkeypatch.setattr("letterlock.node.incidents.make_backend", fail)
    hosts = ("--host", "mx.example:25", "--host", f"{server.ip}:{server.port}")
    assert check("--json", "--cert", "free.der", *hosts) == 1
    results = answer(capsys)["results"]
    assert [each["affected"] for each in results] == [False, None, True]
    assert results[1]["reason"] == "no resolver"


def test_an_address_is_asked_for_the_names_that_are_given(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    host = f"{server.ip}:{server.port}"
    assert check("--json", "--host", host, "--sni", "mx.example") == 1
    assert [each["affected"] for each in answer(capsys)["results"]] == [False, True]


def test_usual_ports_where_nothing_listens_are_named(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an address of its own: nothing else of this machine listens there."""
    from letterlock.protocols.incidents import places  # noqa: PLC0415 - here only

    monkeypatch.setattr(
        places, "PORTS", {1: places.Speech.TLS, server.port: places.Speech.STARTTLS}
    )
    assert check("--host", server.ip) == 1
    assert f"nothing listens at: {server.ip}:1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give certificates"),
        (["--host", "a b"], "--host: 'a b' is"),
        (["--host", "mx.example:0"], "--host: '0' is not a port"),
        (["--host", "mx.example", "--sni", "192.0.2.1"], "--sni: "),
        (["--cert", "free.der", "--index", "none/index"], "none/index: cannot be written"),
        (["--cert", "free.der", "--timeout", "0"], "--timeout"),
        (["--cert", "free.der", "--list", "none"], "none: cannot be read: No such file"),
        ([each for n in range(201) for each in ("--host", f"a{n}.example")], "more than 200"),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(*arguments) == 2
    assert reason in capsys.readouterr().err


def test_a_list_that_is_cut_off_decides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("list").write_bytes(gzip.compress(line("03ab").encode())[:-1])
    assert check("--cert", "free.der") == 3
    assert "list: cut off" in capsys.readouterr().err


@pytest.mark.parametrize("is_terminal", [True, False])
def test_making_an_index_shows_how_far_it_is(
    is_terminal: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "SMALL_OCTETS", 0)
    monkeypatch.setattr("letterlock.storage.serial_lists.source.BLOCK_OCTETS", 100)
    for name in ("PROGRESS_SECONDS", "SELDOM_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    assert check("--cert", "free.der") == 0
    shown = capsys.readouterr().err
    assert "making the index of list: 100%" in shown
    assert ("\r\x1b[K[##############################]" in shown) is is_terminal
    assert Path("list.index").is_file()
    assert check("--cert", "affected.pem") == 1
    assert "making the index" not in capsys.readouterr().err
