"""Postfix's own clients of lookup tables ask our service: by both protocols, and by both sockets.

socketmap_table(5), tcp_table(5)
"""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.interop.background import zones
from tests.journeys.asking import COMMAND, find_address, make_files
from tests.journeys.running_node import PATIENCE, RunningNode
from tests.peers import program, require_peer

TLSA = f"_25._tcp.mx TLSA 3 1 1 {'11' * 32}"
ZONES = {
    "dane.example": f"@ MX 10 mx\nmx A 127.0.0.1\n{TLSA}\n",
    "none.example": "@ MX 10 mx\nmx A 127.0.0.1\n",
}
HOPS = {
    "wrong.example": {"level": "no level"},
    "bracket.example": {"level": "secure", "match": ["mx.example.com", "nexthop"]},
}
SECURE = (
    "secure match=mx.example.com:nexthop servername=hostname "
    "protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1"
)
OK, NOT_FOUND, FAILED = 0, 1, 1

Ask = Callable[[str, str], tuple[int, str, str]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Give what looks a key up in a table as postmap(1) does: exit code, value, trouble."""
    require_peer("postfix")
    folder = tmp_path_factory.mktemp("maps")
    (folder / "main.cf").write_text("compatibility_level = 3.6\n")
    with zones(ZONES, authentic_data=True) as resolver:
        files = make_files(folder / "service", resolver)
        files.change("policy", hops=HOPS)
        files.write()
        node = RunningNode(files, [*COMMAND, str(files.config)])
        try:
            host, port = find_address(node)
            tables = {
                "socketmap": f"socketmap:inet:{host}:{port}:postfix",
                "socketmap at a Unix socket": f"socketmap:unix:{files.folder}/policy:any",
                "tcp_table": f"tcp:{host}:{port}",
            }

            def ask(table: str, key: str) -> tuple[int, str, str]:
                command = [str(program("postmap", "postfix")), "-c", str(folder), "-q", key]
                done = subprocess.run(
                    [*command, tables[table]],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=PATIENCE,
                )
                return done.returncode, done.stdout.rstrip("\n"), done.stderr

            yield ask
        finally:
            node.stop()


@pytest.mark.peer("postfix")
@pytest.mark.parametrize("table", ["socketmap", "socketmap at a Unix socket", "tcp_table"])
@pytest.mark.parametrize(
    ("key", "code", "value", "trouble"),
    [
        ("dane.example", OK, "dane-only", ""),
        ("[mx.dane.example]", OK, "dane-only", ""),
        ("none.example", NOT_FOUND, "", ""),
        (".example", NOT_FOUND, "", ""),
        (
            "bracket.example",
            OK,
            SECURE,
            "",
        ),
        ("wrong.example", FAILED, "", "query error"),
    ],
)
def test_postfix_looks_up_what_we_answer(
    ask: Ask, table: str, key: str, code: int, value: str, trouble: str
) -> None:
    found, text, told = ask(table, key)
    assert (found, text) == (code, value), told
    assert trouble in told
    assert bool(trouble) == bool(told), told
