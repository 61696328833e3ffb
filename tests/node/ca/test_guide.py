"""docs/guide/authority.md: its settings are ones, and its commands are there."""

import re
from pathlib import Path

import pytest

from letterlock.base.config.load import parse_config
from letterlock.cli.ca import COMMANDS
from letterlock.node.ca.perspectives import make_own_resolver, make_validator
from letterlock.node.ca.rules import make_certificate_profiles, make_order_profiles, make_places
from tests.fakes import FakeClock
from tests.guides import settings_of

PAGE = "authority.md"
MINIMAL = """\
hostname = "ca.corp.example"
domains = ["corp.example"]
contact = "postmaster@corp.example"
data_dir = "/var/lib/letterlock"
[dns]
resolver = "127.0.0.1"
"""


@pytest.mark.parametrize("text", settings_of(PAGE, "toml"))
def test_each_block_of_settings_can_be_used(text: str) -> None:
    config = parse_config(MINIMAL + text, Path("/etc/letterlock/letterlock.toml"))
    clock = FakeClock()
    make_validator(config, make_own_resolver(config), clock, clock.now())
    assert make_order_profiles(config.ca).keys() == make_certificate_profiles(config.ca).keys()
    make_places(config, 443)


def test_each_command_that_is_shown_is_one() -> None:
    shown = re.findall(r"letterlock ca ([a-z-]+)", " ".join(settings_of(PAGE, "console")))
    assert set(shown) <= COMMANDS.keys()
    assert {"init", "serve", "list", "revoke", "halt", "resume", "account-key", "root-crl"} <= set(
        shown
    )
