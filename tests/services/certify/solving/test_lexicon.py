"""lexicon: what it is told in its arguments, and what in its variables."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network.zone_records import ZoneRecord
from letterlock.protocols.dns.answers import SoaRecord
from letterlock.services.certify.solving import lexicon
from letterlock.services.certify.solving.lexicon import (
    LexiconChanger,
    find_lexicon,
    load_options,
)
from letterlock.services.discover.authorities import AuthorityFinder
from tests.fakes import FixtureResolver

# It may begin with a hyphen: base64url has it.
RECORD = ZoneRecord(Domain("_acme-challenge.mx1.example.org"), "TXT", "-value", 60)
LIMIT = timedelta(minutes=1)


def write(path: Path, text: str, mode: int) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def resolver() -> FixtureResolver:
    made = FixtureResolver()
    made.set("example.org", "SOA", SoaRecord(Domain("ns1.example.org"), 1, 60))
    return made


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    return tmp_path / "seen"


@pytest.fixture
def changer(tmp_path: Path, seen: Path, resolver: FixtureResolver) -> LexiconChanger:
    body = f'#!/bin/sh\nprintf "%s " "$LEXICON_DESEC_AUTH_TOKEN" "$@" >> "{seen}"\n'
    program = write(tmp_path / "lexicon", f'{body}echo >> "{seen}"\n', 0o700)
    options = {"LEXICON_DESEC_AUTH_TOKEN": "secret"}
    return LexiconChanger(program, options, "desec", AuthorityFinder(resolver), limit=LIMIT)


async def test_it_is_told_what_to_do_and_its_secrets_apart(
    changer: LexiconChanger, seen: Path
) -> None:
    assert await changer.add(RECORD) is None
    assert await changer.remove(RECORD) is None
    rest = (
        "example.org TXT --name=_acme-challenge.mx1.example.org --content=-value --ttl=60"
        " --output=QUIET "
    )
    assert read_lines(seen) == [
        f"secret --delegated example.org desec create {rest}",
        f"secret --delegated example.org desec delete {rest}",
    ]


async def test_a_zone_of_the_settings_is_not_looked_for(
    tmp_path: Path, resolver: FixtureResolver
) -> None:
    program = write(tmp_path / "lexicon", '#!/bin/sh\n[ "$2" = mx1.example.org ]\n', 0o700)
    finder = AuthorityFinder(resolver)
    zone = Domain("mx1.example.org")
    changer = LexiconChanger(program, {}, "desec", finder, limit=LIMIT, zone=zone)
    assert await changer.add(RECORD) is None
    assert resolver.asked == []


async def test_what_goes_wrong_is_told(
    changer: LexiconChanger, tmp_path: Path, resolver: FixtureResolver
) -> None:
    tlsa = ZoneRecord(Domain("_25._tcp.mx1.example.org"), "TLSA", "3 1 1 " + "ab" * 32, 60)
    assert await changer.add(tlsa) == f"TLSA {tlsa.name}: lexicon knows no TLSA records"
    text = "#!/bin/sh\necho 'Traceback' >&2; echo 'Unauthorized' >&2; exit 1\n"
    program = write(tmp_path / "lexicon", text, 0o700)
    failure = f"TXT {RECORD.name}: {program} ended with status 1: Unauthorized"
    assert await changer.add(RECORD) == failure
    resolver.fail("example.org", "SOA")
    assert await changer.add(RECORD) == "SOA of example.org: no answer"


def test_options_become_variables(tmp_path: Path) -> None:
    path = write(tmp_path / "desec.toml", 'auth_token = "a b"\nport = 5\n', 0o600)
    assert load_options(path, "desec") == {
        "LEXICON_DESEC_AUTH_TOKEN": "a b",
        "LEXICON_DESEC_PORT": "5",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("auth_token: hunter2", "each line is an option"),
        ("[desec]\nauth_token = 'hunter2'", "desec must be a text"),
        ("auth_token = 'hunter2\\u0000'".replace("'", '"'), "auth_token must be a text"),
        ("'PATH' = 'hunter2'", "'PATH' is no option"),
    ],
)
def test_what_are_no_options_is_refused_without_showing_them(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = write(tmp_path / "desec.toml", text, 0o600)
    with pytest.raises(LocalError, match=reason) as caught:
        load_options(path, "desec")
    assert "hunter2" not in str(caught.value)


def test_what_is_no_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="'--help' is no provider"):
        load_options(write(tmp_path / "o.toml", "", 0o600), "--help")


def test_the_program_is_found_beside_our_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexicon, "SEARCH_PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(LocalError, match="lexicon is not there"):
        find_lexicon()
    program = write(tmp_path / "lexicon", "", 0o700)
    assert find_lexicon() == program
