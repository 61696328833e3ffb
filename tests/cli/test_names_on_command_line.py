"""Names as arguments: in Unicode, A-labels, quotes, brackets (RFC 5890 §2.3, RFC 5321 §4.1.3)."""

import json
from pathlib import Path

import pytest

from letterlock.cli.root import main

DOMAINS = ["bücher.example", "BÜCHER.example.", "xn--bcher-kva.example"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "letterlock.toml"
    path.write_text(
        'hostname = "mx.bücher.example"\ndomains = ["bücher.example"]\n'
        f'contact = "postmaster@bücher.example"\ndata_dir = "{tmp_path}"\n'
    )
    return path


@pytest.mark.parametrize("domain", DOMAINS)
def test_records_of_a_domain(domain: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dns", "records", domain, "--config", str(config)]) == 0
    assert "xn--bcher-kva.example. 3600 IN MX 10 mx.xn--bcher-kva.example." in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("kind", "line", "key"),
    [
        ("virtual", "info@bücher.example to@x.example", "INFO@xn--bcher-kva.example"),
        ("virtual", "x@[IPv6:2001:DB8::1] to@x.example", "x@[IPv6:2001:db8:0::1]"),
        ("virtual", '"a b"@far.example to@x.example', '"A b"@far.example'),
        ("aliases", "grün: to@x.example", "gru\u0308n@bücher.example"),
    ],
)
def test_keys_of_tables(
    kind: str, line: str, key: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = config.with_name("table")
    table.write_text(f"{line}\n")
    words = ["table", "query", str(table), key, "--type", kind, "--json"]
    assert main([*words, "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["destinations"] == ["to@x.example"]
