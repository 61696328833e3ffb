"""The addresses for reports by HTTPS, and the secret that they are made from."""

from pathlib import Path
from stat import S_IMODE

import pytest

from letterlock.base.config.faults import SettingFaults
from letterlock.base.config.load import ConfigErrors, parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.node import posts
from letterlock.node.faults import find_faults
from letterlock.node.posts import find_address, find_keys, load_keys, make_address
from letterlock.node.publishing import NOTHING_KEPT, Kept, describe_domain
from tests.fakes import START

DOMAIN = Domain("example.org")
POSTS = '[tls]\ncertificates = [{ certificate = "c.pem", key = "k.pem" }]\n[tlsrpt.posts]\n'


def make_config(folder: Path, text: str = POSTS + "enabled = true") -> Config:
    head = f"""
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "{folder}"
"""
    return parse_config(head + text, folder / "letterlock.toml")


def test_the_secret_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    assert find_keys(config) is None
    assert find_address(config, DOMAIN) is None
    (key,) = load_keys(config)
    assert len(key) >= 40
    assert load_keys(config) == find_keys(config) == (key,)
    file = tmp_path / "tlsrpt-posts.key"
    assert S_IMODE(file.stat().st_mode) == 0o600
    address = find_address(config, DOMAIN)
    assert address == make_address(config, key, DOMAIN)
    assert address.startswith("https://mx1.example.org/tlsrpt/example.org/")


@pytest.mark.parametrize(
    ("listen", "port"),
    [
        ('["127.0.0.1:443"]', ""),
        ('["127.0.0.1:8443", "[::]:443"]', ""),
        ('["[::1]:8443"]', ":8443"),
    ],
)
def test_an_address_names_its_port_unless_it_is_https(
    tmp_path: Path, listen: str, port: str
) -> None:
    text = f"[publishing.mta_sts]\nlisten = {listen}\n"
    address = make_address(make_config(tmp_path, text), b"k" * 20, DOMAIN)
    assert address.startswith(f"https://mx1.example.org{port}/tlsrpt/")


def test_no_address_where_nothing_is_taken(tmp_path: Path) -> None:
    load_keys(make_config(tmp_path))
    assert find_address(make_config(tmp_path, ""), DOMAIN) is None


@pytest.mark.parametrize(
    ("content", "reason"), [(b"short", "20 characters"), (b"", "no key"), (b"\xff" * 30, "no text")]
)
def test_a_secret_that_is_none_is_told_with_its_key(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    config = make_config(tmp_path)
    (tmp_path / "tlsrpt-posts.key").write_bytes(content)
    with pytest.raises(SettingFaults, match=reason):
        load_keys(config)
    keys = [each.key for each in find_faults(config)]
    assert ("tlsrpt", "posts", "key_file") in keys


def test_a_secret_that_cannot_be_read_or_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path)
    (tmp_path / "tlsrpt-posts.key").mkdir()
    with pytest.raises(LocalError, match=r"tlsrpt-posts\.key"):
        load_keys(config)
    (tmp_path / "tlsrpt-posts.key").rmdir()

    def fail(*_: object) -> None:
        raise LocalError("no room")

    monkeypatch.setattr(posts, "write_once", fail)
    with pytest.raises(SettingFaults, match="cannot be made"):
        load_keys(config)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tlsrpt.posts]\nenabled = true", "needs a certificate"),
        (f"[publishing.mta_sts]\nlisten = []\n{POSTS}enabled = true", "publishing.mta_sts.listen"),
    ],
)
def test_what_it_needs_is_told(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigErrors, match=reason):
        make_config(tmp_path, text)


@pytest.mark.parametrize(
    ("own", "kept", "uris"),
    [
        ("", NOTHING_KEPT, ()),
        ("", Kept(post_address="https://a/b"), ("mailto:postmaster@example.org", "https://a/b")),
        (
            "mailto:a@b.example",
            Kept(post_address="https://a/b"),
            ("mailto:a@b.example", "https://a/b"),
        ),
        ("https://a/b", Kept(post_address="https://a/b"), ("https://a/b",)),
    ],
)
def test_what_is_published_has_the_address_behind_mail(
    tmp_path: Path, own: str, kept: Kept, uris: tuple[str, ...]
) -> None:
    """RFC 8460 §3: some send to the first one only."""
    text = f'[publishing]\ntls_reports = ["{own}"]' if own else ""
    config = make_config(tmp_path, text)
    described = describe_domain(config, DOMAIN, (), kept, START, lambda: ())
    assert described.tls_reports == uris
