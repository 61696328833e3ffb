"""What keeps a collector from starting is told with the setting's name."""

from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.faults import SettingFaults
from letterlock.base.config.load import find_config
from letterlock.network.datagram_receiver import bind_datagram_socket
from letterlock.node.tlsrpt_collecting import collect
from tests.journeys.collecting import CollectorFiles, make_collector


def start(files: CollectorFiles) -> str:
    """Start a collector that cannot start; gives what it says."""
    files.write()
    with pytest.raises(SettingFaults) as raised:
        collect(find_config(files.config).load())
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"socket_owner": "nobody-of-that-name"}, "tlsrpt.socket_owner: "),
        ({"socket": "/proc/none/tlsrpt.sock"}, "tlsrpt.socket: "),
        ({"journal_dir": "/proc/none"}, "tlsrpt.journal_dir: /proc/none"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_it(
    tmp_path: Path, settings: dict[str, object], told: str
) -> None:
    files = make_collector(tmp_path)
    files.change("tlsrpt", **settings)
    assert start(files).startswith(told)
    assert not files.socket.exists()


def test_one_collector_at_a_time(tmp_path: Path) -> None:
    files = make_collector(tmp_path)
    files.socket.parent.mkdir()
    with bind_datagram_socket(files.socket, 0o600):
        assert "another program receives on" in start(files)
    days = files.days
    days.folder.mkdir(parents=True)
    days.lock()
    told = start(files)
    days.close()
    assert told.startswith("tlsrpt.journal_dir: ")
    assert "another process counts there" in told


def test_counts_that_are_damaged_are_not_written_over(tmp_path: Path) -> None:
    files = make_collector(tmp_path)
    days = files.days
    days.folder.mkdir(parents=True)
    today = SystemClock().now().date()
    days.path(today, 1, "counts").write_text("no counts")
    assert "not as it was written; move it elsewhere" in start(files)
