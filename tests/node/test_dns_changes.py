"""What `[dns_changes]` describes, and files of it that can't be used."""

from pathlib import Path

import pytest

from letterlock.base.config.dns_changes import (
    DnsChangeMethod,
    DnsChangesSection,
    parse_name_server,
)
from letterlock.base.config.faults import SettingFaults
from letterlock.node import dns_changes
from letterlock.node.dns_changes import DnsChanges, make_dns_changes
from letterlock.services.certify.solving.changing import HookChanger, UpdateChanger
from letterlock.services.certify.solving.lexicon import LexiconChanger
from tests.fakes import FakeClock, FakeLog, FixtureResolver

HOOK = Path("/usr/local/lib/hook")


def make(section: DnsChangesSection) -> DnsChanges:
    return make_dns_changes(section, FixtureResolver(), FakeClock())


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_without_a_method_nothing_is_changed() -> None:
    made = make(DnsChangesSection())
    assert (made.changer, made.tlsa_changer, made.make_solver(FakeLog())) == (None, None, None)


def test_each_method_has_its_changer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_changes, "find_lexicon", lambda: Path("/usr/bin/lexicon"))
    key = write(tmp_path / "key", "acme:AAAA")
    options = write(tmp_path / "options", "auth_token = 'a'")
    update = make(DnsChangesSection(method=DnsChangeMethod.UPDATE, key_file=key))
    assert isinstance(update.changer, UpdateChanger)
    assert isinstance(make(DnsChangesSection(method=DnsChangeMethod.UPDATE)).changer, UpdateChanger)
    program = make(DnsChangesSection(method=DnsChangeMethod.EXEC, hook=HOOK))
    assert isinstance(program.changer, HookChanger)
    for made in (update, program):
        assert made.tlsa_changer is made.changer
        assert made.make_solver(FakeLog()) is not None
    lexicon = make(
        DnsChangesSection(method=DnsChangeMethod.LEXICON, provider="desec", provider_file=options)
    )
    assert isinstance(lexicon.changer, LexiconChanger)
    assert lexicon.tlsa_changer is None


def test_what_can_not_be_used_names_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_key = write(tmp_path / "key", "acme:AAAA", 0o644)
    update = DnsChangesSection(method=DnsChangeMethod.UPDATE, key_file=open_key)
    lexicon = DnsChangesSection(
        method=DnsChangeMethod.LEXICON, provider="desec", provider_file=open_key
    )
    cases = [
        (update, "key_file"),
        (DnsChangesSection(method=DnsChangeMethod.EXEC), "hook"),
        (DnsChangesSection(method=DnsChangeMethod.LEXICON), "provider"),
        (DnsChangesSection(method=DnsChangeMethod.LEXICON, provider="desec"), "provider_file"),
        (lexicon, "provider_file"),
    ]
    monkeypatch.setattr(dns_changes, "find_lexicon", lambda: Path("/usr/bin/lexicon"))
    for section, key in cases:
        with pytest.raises(SettingFaults) as caught:
            make(section)
        assert [fault.key for fault in caught.value.faults] == [("dns_changes", key)]


def test_lexicon_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterlock.services.certify.solving.lexicon.PROGRAM", "no-such-program")
    section = DnsChangesSection(
        method=DnsChangeMethod.LEXICON,
        provider="desec",
        provider_file=write(tmp_path / "options", ""),
    )
    with pytest.raises(SettingFaults, match="lexicon is not there"):
        make(section)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ns1.example.org", ("ns1.example.org", 53)),
        ("NS1.bücher.example.:5353", ("ns1.xn--bcher-kva.example", 5353)),
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_a_name_server_is_a_host_or_an_address(text: str, expected: tuple[str, int]) -> None:
    assert DnsChangesSection(server=parse_name_server(text)).find_server() == expected


@pytest.mark.parametrize("text", ["", "ns1:0", "ns1:65536", "ns1:x", "a b", "[::1", "ns1:"])
def test_what_is_no_name_server(text: str) -> None:
    with pytest.raises(ValueError, match="a name server such as"):
        parse_name_server(text)


def test_no_server_is_the_primary() -> None:
    assert DnsChangesSection().find_server() is None
