"""An authority is made: its files, and that they are what they must be."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.ca.keys import ISSUING, ROOT, load_issuers, name_files, require_authority
from letterlock.node.ca.making import (
    make_authority_files,
    make_authority_with_store,
    name_authority,
)
from letterlock.node.ca.root_watch import RootWatch
from letterlock.node.ca.root_work import RootPlace, renew_root_crl
from letterlock.node.ca.stores import open_store
from letterlock.services.ca.keys.opening import KeyFile
from letterlock.services.ca.publications import Publications, name_folder
from tests.fakes import FakeClock, FakeLog
from tests.services.ca.keys.tokens import LABEL, PIN, find_module, softhsm

CRLS = "http://ca.example.org/crl/"


def read(folder: Path, text: str = "") -> Config:
    return parse_config(
        f"""
        hostname = "ca.example.org"
        domains = ["example.org"]
        contact = "postmaster@example.org"
        data_dir = "{folder}/data"
        {text}
        """,
        folder / "letterlock.toml",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = read(
        tmp_path_factory.mktemp("made"),
        f"[ca]\nname = 'House'\ncrl_url = '{CRLS}'\n"
        "[ca.names]\npermitted_domains = ['example.org']",
    )
    make_authority_files(config, SystemClock())
    return config


def test_what_was_made_issues_and_leads_to_its_root(made: Config) -> None:
    (issuer,) = load_issuers(made.ca, CRLS)
    issuer.certificate.verify_directly_issued_by(issuer.root)
    subject = issuer.certificate.subject.rfc4514_string()
    assert subject == "CN=House Issuing ca.example.org,O=House"
    assert issuer.authority.issuer.places.crl_url(1).startswith(CRLS)


def test_a_root_and_what_is_below_it_never_have_one_name(tmp_path: Path) -> None:
    """RFC 5280 §6.1: one that is issued by its own name counts as self-issued."""
    config = read(tmp_path, f"[ca]\nname = '{'long ' * 20}'")
    root, issuing = (name_authority(config, which) for which in ("Root", "Issuing"))
    assert root != issuing
    assert issuing.common_name.endswith(f" Issuing {config.hostname}")


def test_the_names_it_is_for_bind_its_own_certificate(made: Config) -> None:
    """RFC 5280 §4.2.1.10."""
    (issuer,) = load_issuers(made.ca, CRLS)
    extension = issuer.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert extension.critical
    assert extension.value.permitted_subtrees == [x509.DNSName("example.org")]


def test_keys_are_encrypted_and_nobody_else_can_read_them(made: Config) -> None:
    for name in (ROOT, ISSUING):
        files = name_files(made.ca.folder, name)
        assert b"ENCRYPTED PRIVATE KEY" in files.key.read_bytes()
        assert {each.stat().st_mode & 0o777 for each in (files.key, files.passphrase)} == {0o600}


def test_nothing_that_is_there_is_written_over(made: Config) -> None:
    before = {path: path.read_bytes() for path in made.ca.folder.iterdir()}
    with pytest.raises(LocalError, match=r"root\.pem: is there already"):
        make_authority_files(made, SystemClock())
    assert {path: path.read_bytes() for path in made.ca.folder.iterdir()} == before


def test_without_the_root_s_key_it_still_issues(made: Config, tmp_path: Path) -> None:
    files = name_files(made.ca.folder, ROOT)
    away = tmp_path / "safe"
    files.key.rename(away)
    try:
        load_issuers(made.ca, CRLS)
    finally:
        away.rename(files.key)


def test_an_authority_that_was_not_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="there is no authority yet: run letterlock ca init"):
        require_authority(read(tmp_path).ca)


def test_a_key_that_is_not_the_certificate_s_is_refused(made: Config) -> None:
    root, issuing = (name_files(made.ca.folder, each) for each in (ROOT, ISSUING))
    text = (
        f"[ca]\nissuers = [{{ certificate = '{issuing.certificate}', root = '{root.certificate}', "
        f"key = '{root.key}', passphrase_file = '{root.passphrase}' }}]"
    )
    with pytest.raises(LocalError, match="another key than the certificate's"):
        load_issuers(read(made.data_dir.parent, text).ca, CRLS)


async def test_the_root_s_crl_is_published_for_a_year(tmp_path: Path) -> None:
    """RFC 5280 §5.2.5: it says of itself that it is of authorities."""
    config, clock = read(tmp_path, f"[ca]\ncrl_url = '{CRLS}'"), SystemClock()
    made = await make_authority_with_store(config, clock)
    async with open_store(config, clock) as store:
        publications = Publications(store, [made.root_certificate])
        found = await publications.find(name_folder(made.root_crl.issuer), "1.crl")
    assert found is not None
    crl = x509.load_der_x509_crl(found.octets)
    assert crl.is_signature_valid(made.root_certificate.public_key())  # type: ignore[arg-type] # an authority's
    assert (found.fresh_until - found.made).days == 365
    scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    assert scope.only_contains_ca_certs


async def test_the_root_signs_its_crl_again_with_the_next_number(tmp_path: Path) -> None:
    """RFC 5280 §5.2.3. Its key is out of the safe for that, and only for that."""
    config, clock = read(tmp_path, f"[ca]\ncrl_url = '{CRLS}'"), FakeClock()
    made = await make_authority_with_store(config, clock)
    safe = RootPlace(KeyFile(made.root.key, made.root.passphrase))
    log = FakeLog()
    async with open_store(config, clock) as store:
        watch = RootWatch(store, clock, log)
        issuers = load_issuers(config.ca, CRLS)
        await watch.look(issuers)
        assert log.texts == []
        clock.move(timedelta(days=310))
        await watch.look(issuers)
        await watch.look(issuers)
        (line,) = log.texts
        assert "it ends on 2027-03-01: letterlock ca root-crl" in line
        after = await renew_root_crl(config, store, safe, clock)
        assert after.period.number > made.root_crl.period.number
        clock.move(timedelta(days=1))
        await watch.look(issuers)
        assert len(log.texts) == 1
        wrong = RootPlace(KeyFile(made.issuing.key, made.issuing.passphrase))
        with pytest.raises(LocalError, match="another key than the certificate's"):
            await renew_root_crl(config, store, wrong, clock)


@pytest.mark.peer("softhsm")
def test_the_key_that_issues_is_made_in_a_token_and_stays_there(tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o600)
    with softhsm(tmp_path):
        text = f"[ca.pkcs11]\nmodule = '{find_module()}'\ntoken = '{LABEL}'\npin_file = '{pin}'"
        config = read(tmp_path, f"[ca]\ncrl_url = '{CRLS}'\n{text}")
        made = make_authority_files(config, SystemClock())
        assert [path.name for path in made.paths] == [
            *("root.pem", "root.key", "root.passphrase", "issuing.pem"),
        ]
        assert not made.issuing.key.exists()
        (issuer,) = load_issuers(config.ca, CRLS)
        assert issuer.authority.issuer.signer.sign(b"octets")
        made.issuing.certificate.unlink()
        made.root.certificate.unlink()
        made.root.key.unlink()
        made.root.passphrase.unlink()
        with pytest.raises(LocalError, match="there is a key letterlock-issuing already"):
            make_authority_files(config, SystemClock())
