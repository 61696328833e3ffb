"""`[ca]`: what its settings take, and what must hold between them."""

from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.config.authority_parts import Rate
from letterlock.base.config.describe import describe_values
from letterlock.base.config.load import ConfigErrors, parse_config
from letterlock.base.config.sections import Config

FILE = Path("/etc/mail/letterlock.toml")
MINIMAL = """\
hostname = "ca.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "/var/lib/letterlock"
"""


def _read(text: str) -> Config:
    return parse_config(MINIMAL + text, FILE)


def _explain(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        _read(text)
    return [f"{error.line - 4}: {error.key}: {error.message}" for error in caught.value.errors]


def test_an_authority_needs_no_setting() -> None:
    section = _read("").ca
    assert section.folder == Path("/var/lib/letterlock/ca")
    assert [each.name for each in section.profiles] == ["default", "shortlived"]
    assert section.find_profile() == "default"
    assert section.read_database_url() is None
    assert section.validation.find_ports() == {80: 80, 443: 443}


def test_a_database_s_address_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://ca@db/ca\nmore\n")
    text = f'[ca]\ndatabase = "postgres"\ndatabase_url_file = "{file}"\n'
    assert _read(text).ca.read_database_url() == "postgresql://ca@db/ca"


def test_what_stands_in_the_address_of_a_database_is_not_shown() -> None:
    config = _read(
        '[ca]\ndatabase = "postgres"\ndatabase_url = "postgresql://ca:swordfish@db/ca"\n'
    )
    assert "swordfish" not in repr(config)
    assert not any("swordfish" in each.text for each in describe_values(config))


@pytest.mark.parametrize("text", ["300 in 3h", "1 in 7d", "10 in 1m30s"])
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    rate = _read(f'[ca.limits]\norders_per_account = "{text}"\n').ca.limits.orders_per_account
    assert isinstance(rate, Rate)
    assert str(rate) == text


def test_a_limit_can_be_taken_away() -> None:
    assert _read("").ca.limits.accounts_per_address == Rate(100, timedelta(hours=1))
    assert _read('[ca.limits]\naccounts_per_address = ""\n').ca.limits.accounts_per_address is None


@pytest.mark.parametrize("text", ["0 in 3h", "3h", "3 in 0s", "3 in 400d", "many in 1h", "3 in h"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    (error,) = _explain(f'[ca.limits]\norders_per_account = "{text}"\n')
    assert error.startswith("2: ca.limits.orders_per_account: must be ")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("socks5://192.0.2.1:1080", "socks5://192.0.2.1:1080"),
        ("http://[2001:db8:0::1]:3128/", "http://[2001:db8::1]:3128"),
    ],
)
def test_a_proxy_is_an_address_with_a_port(given: str, kept: str) -> None:
    (perspective,) = _read(_place(given)).ca.validation.perspectives
    assert perspective.proxy == kept


@pytest.mark.parametrize(
    "given", ["192.0.2.1:1080", "https://192.0.2.1:1", "http://proxy:1", "http://192.0.2.1:0"]
)
def test_what_is_no_proxy_is_refused(given: str) -> None:
    (error,) = _explain(_place(given))
    assert "must be a proxy with an IP address and a port" in error


def _place(proxy: str) -> str:
    return (
        "[ca.validation]\nperspectives = [{ name = 'far', region = 'ARIN', "
        f"resolver = '127.0.0.1', proxy = '{proxy}', source = '192.0.2.9' }}]\n"
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("profiles = []", "ca.profiles: must hold at least one"),
        ("listen = []", "ca.listen: must hold an address"),
        ('default_profile = "other"', "ca.default_profile: other is none of profiles"),
        ('default_profile = "No Word"', "must be a word of small letters"),
        ('url = "https://ca.example.org/"', "must be an https URL without a slash at its end"),
        ('crl_url = "https://ca.example.org/crl/"', "must be an http URL with a slash at its end"),
        ('contacts = ["ca@example.org"]', 'must be such as "mailto:ca@example.org"'),
        ('caa_max_age = "9h"', "must be from 1m to 8h"),
        ('database = "postgres"', "ca.database: needs database_url or database_url_file"),
        ('database_url = "x"', 'ca.database_url: goes with database = "postgres" only'),
        (
            'database = "postgres"\ndatabase_url = "x"\ndatabase_url_file = "y"',
            "ca.database_url_file: must not be given beside database_url",
        ),
        (
            'profiles = [{ name = "a", description = "b", keys = [] }]',
            "ca.profiles[1].keys: must hold at least one",
        ),
        # Baseline Requirements 3.2.2.4.7, .19 to .21 (tokens), 4.2.1 (proofs), 6.3.2.
        (
            'profiles = [{ name = "a", description = "b", order_lifetime = "31d" }]',
            "ca.profiles[1].order_lifetime: must be from 1h to 30d",
        ),
        (
            'profiles = [{ name = "a", description = "b", reuse = "201d" }]',
            "ca.profiles[1].reuse: must be from 0s to 200d",
        ),
        (
            'profiles = [{ name = "a", description = "b", lifetime = "201d" }]',
            "ca.profiles[1].lifetime: must be from 6d to 200d",
        ),
        (
            'profiles = [{ name = "a", description = "b" }, { name = "a", description = "c" }]',
            "ca.profiles[2].name: stands here twice",
        ),
        (
            'issuers = [{ certificate = "a", root = "b" }]',
            "ca.issuers[1]: needs either key or token_key",
        ),
        (
            'issuers = [{ certificate = "a", root = "b", token_key = "c" }]',
            "ca.issuers[1].token_key: needs module in [ca.pkcs11]",
        ),
    ],
)
def test_what_does_not_go_together_is_told(text: str, wanted: str) -> None:
    (error,) = _explain(f"[ca]\n{text}\n")
    assert wanted in error


def test_more_remote_perspectives_than_there_are_would_end_all_validation() -> None:
    (error,) = _explain("[ca.validation]\nmin_remotes = 2\n")
    assert error.startswith("2: ca.validation.min_remotes: 0 are in perspectives")


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("needs_dnssec = false", "a public authority validates DNSSEC"),
        ("private_names = true", "a public authority issues for names of the public DNS only"),
    ],
)
def test_what_a_private_authority_may_a_public_one_may_not(setting: str, wanted: str) -> None:
    """Baseline Requirements 3.2.2.8.1: DNSSEC is validated for every look; 4.2.2: names."""
    assert not _read(f"[ca.validation]\n{setting}\n").ca.public
    (error,) = _explain(f"[ca]\npublic = true\n[ca.validation]\n{setting}\n")
    assert wanted in error


def test_two_perspectives_have_two_names() -> None:
    place = "{ name = 'far', region = 'ARIN', resolver = '127.0.0.1' }"
    (error,) = _explain(f"[ca.validation]\nperspectives = [{place}, {place}]\n")
    assert "stands here twice" in error


def test_a_token_has_a_label() -> None:
    (error,) = _explain("[ca.pkcs11]\nmodule = '/usr/lib/softhsm/libsofthsm2.so'\n")
    assert "ca.pkcs11.token: must be given with module" in error
