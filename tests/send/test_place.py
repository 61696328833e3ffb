"""Where messages are dropped, as letterlock.toml says."""

import contextlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from letterlock.send import place
from letterlock.send.failures import CONFIG_ERROR, SendError
from letterlock.send.place import FALLBACK, find_drop_dir, read_keys

_LINES = (
    'data_dir = "/var/lib/letterlock"',
    "data_dir='data' # here",
    'data_dir="a"',
    '"data_dir" = "b"',
    'data_dir = """x',
    '"""',
    "[send]",
    "[send] # mail",
    "[ send ]",
    '["send"]',
    "[send.more]",
    "[[send]]",
    "[dns]",
    'drop_dir = "/var/spool/x"',
    "drop_dir='y'",
    'drop_dir = "a#b"',
    'drop_dir = "a\\tb"',
    'send.drop_dir = "z"',
    'send = { drop_dir = "i" }',
    'x = ["data_dir", "send"]',
    "y = [",
    '"data_dir = 1",',
    "['data_dir'],",
    "]",
    "# drop_dir = 1",
    'contact = "send@example.org"',
    "enabled = true",
    "",
)


def _read_by_tomllib(text: str) -> tuple[object, object]:
    document = tomllib.loads(text)
    send = document.get("send")
    return document.get("data_dir"), send.get("drop_dir") if isinstance(send, dict) else None


@given(st.lists(st.sampled_from(_LINES), max_size=8).map("\n".join))
@example('data_dir = "/a"\n[send]\ndrop_dir = "b"\n')
@example('data_dir = "/a"\r\n[receive]\r\nlisten = ["x"]\r\n[send]\r\ndrop_dir = "b"\r\n')
@example('x = [\n[1],\n[2]\n]\ndata_dir = "a"\n')
@example('data_dir = "a"\n[send]\nx = [\n[1]\n]\ndrop_dir = "b"\n')
def test_the_two_keys_are_read_as_a_parser_of_toml_reads_them(text: str) -> None:
    """TOML 1.0.0; of a file that is none, anything may be read, if no more than a text."""
    try:
        expected = _read_by_tomllib(text)
    except tomllib.TOMLDecodeError:
        with contextlib.suppress(ValueError):
            read_keys(text)
        return
    assert read_keys(text) == expected


def test_a_plain_file_is_read_without_a_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_read_any", None)
    text = 'hostname = "a"\ndata_dir = "/x"  # here\n\n[send]\ndrop_dir = \'/y\'\n[log]\nx = 1\n'
    assert read_keys(text) == ("/x", "/y")


def _write(folder: Path, text: str) -> str:
    path = folder / "letterlock.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('data_dir = "/a"', "/a/drop"),
        ('data_dir = "data"', "{}/data/drop"),
        ('data_dir = "/a"\n[send]\ndrop_dir = "b"', "/a/b"),
        ('data_dir = "/a"\n[send]\ndrop_dir = "/b"', "/b"),
    ],
)
def test_paths_begin_where_the_node_has_them_begin(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert find_drop_dir(_write(tmp_path, text)) == expected.format(tmp_path)


@pytest.mark.parametrize("text", ["x = ", 'hostname = "a"', "data_dir = 1", 'a = """'])
def test_a_file_of_no_use_is_an_error_of_configuration(tmp_path: Path, text: str) -> None:
    with pytest.raises(SendError) as caught:
        find_drop_dir(_write(tmp_path, text))
    assert caught.value.code == CONFIG_ERROR


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SendError, match="No such file"):
        find_drop_dir(str(tmp_path / "none.toml"))


def test_the_current_folder_is_never_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, "SYSTEM_CONFIG", str(tmp_path / "etc.toml"))
    _write(tmp_path, 'data_dir = "/evil"')
    assert find_drop_dir(None) == FALLBACK
