"""What the settings say of signatures."""

from pathlib import Path

from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.signing import find_dkim_keys, make_key_maker, make_key_plan, make_signer
from letterlock.protocols.dkim.signature import Algorithm
from tests.fakes import FakeClock, FakeLog

DOMAIN = Domain("example.org")


def settings(folder: Path, more: str = "") -> Config:
    return parse_config(
        f"""
hostname = "mx1.example.org"
domains = ["{DOMAIN}", "example.net"]
contact = "postmaster@{DOMAIN}"
data_dir = "{folder / "data"}"
[dkim]
{more}
""",
        folder / "letterlock.toml",
    )


def test_by_default_all_our_domains_sign_with_both_algorithms(tmp_path: Path) -> None:
    config = settings(tmp_path)
    plan = make_key_plan(config)
    assert plan.domains == config.domains
    assert (plan.selector, plan.next_selector) == ("mx1", None)
    assert plan.algorithms == (Algorithm.RSA_SHA256, Algorithm.ED25519_SHA256)
    assert config.dkim.key_dir == tmp_path / "data" / "dkim"
    assert make_signer(config, FakeClock(), FakeLog()) is not None


def test_settings_are_followed(tmp_path: Path) -> None:
    more = "selector = 'A'\nnext_selector = 'b'\nalgorithms = ['ed25519']\nlifetime = '7d'\n"
    config = settings(tmp_path, f"{more}domains = ['other.example']\nkey_dir = '/etc/keys'\n")
    plan = make_key_plan(config)
    assert (plan.domains, plan.selector, plan.next_selector) == (("other.example",), "a", "b")
    assert plan.algorithms == (Algorithm.ED25519_SHA256,)
    assert config.dkim.key_dir == Path("/etc/keys")
    signer = make_signer(config, FakeClock(), FakeLog())
    assert signer is not None
    assert signer.lifetime == config.dkim.lifetime
    assert find_dkim_keys(config, DOMAIN) == ((), ())


async def test_keys_that_are_there_are_published(tmp_path: Path) -> None:
    config = settings(tmp_path, "next_selector = 'b'\nalgorithms = ['ed25519']")
    assert find_dkim_keys(config, DOMAIN) == ((), ())
    maker = make_key_maker(config, FakeLog())
    assert maker is not None
    await maker.run()
    keys, notes = find_dkim_keys(config, DOMAIN)
    assert [(key.selector, key.is_next) for key in keys] == [
        ("mx1-ed25519", False),
        ("b-ed25519", True),
    ]
    assert notes == ()
    path = config.dkim.key_dir / "example.org" / "b-ed25519.pem"
    path.write_text("nothing")
    keys, (note,) = find_dkim_keys(config, DOMAIN)
    assert [key.selector for key in keys] == ["mx1-ed25519"]
    assert str(path) in note


def test_where_nothing_signs_nothing_is_published(tmp_path: Path) -> None:
    config = settings(tmp_path, "enabled = false")
    assert make_signer(config, FakeClock(), FakeLog()) is None
    assert make_key_maker(config, FakeLog()) is None
    assert find_dkim_keys(config, DOMAIN) == ((), ())
