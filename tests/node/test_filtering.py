"""Which filters a node asks, in which order, and whose mail each sees."""

from pathlib import Path

from msgspec.structs import replace

from letterlock.base.config.filters import FilteredMail
from letterlock.base.config.load import parse_config
from letterlock.node.filtering import build_filters
from letterlock.services.receive.filtered import Filters
from letterlock.storage.ids import QueueIds
from tests.fakes import FakeClock, FakeLog, FixtureResolver
from tests.services.filter.scripted import CLIENT

MINIMAL = """
hostname = "mx.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "/var/lib/letterlock"
"""


def build(text: str) -> Filters | None:
    config = parse_config(MINIMAL + text, Path("/etc/letterlock.toml"))
    clock = FakeClock()
    make_id = QueueIds(clock).make
    return build_filters(config, FakeLog(), make_id, lambda _: None, FixtureResolver(), clock)


def list_names(filters: Filters, source: FilteredMail) -> list[str]:
    """Name those that a session of such mail asks."""
    session = filters.chain.begin(replace(CLIENT, source=source))
    return [] if session is None else [link.name for link in session._links]


def test_without_settings_there_are_none() -> None:
    assert build("") is None


def test_our_verification_is_first_and_rspamd_last() -> None:
    """So each sees what the ones before it found."""
    filters = build(
        """
[dkim]
verify = true
[filter]
milters = [{ address = "unix:/run/m.sock", mail = ["outside"] }]
rspamd = [
  { url = "http://localhost:11333" },
  { url = "unix:/run/r.sock", mail = ["local"], default_action = "accept" },
]
"""
    )
    assert filters is not None
    assert list_names(filters, FilteredMail.OUTSIDE) == [
        *("dkim.verify", "unix:/run/m.sock", "http://localhost:11333")
    ]
    assert list_names(filters, FilteredMail.SUBMISSION) == ["http://localhost:11333"]
    assert list_names(filters, FilteredMail.LOCAL) == ["http://localhost:11333", "unix:/run/r.sock"]
