"""What the root's key comes out of its safe for: a further key that issues, another root's word."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.ca.keys import load_issuers
from letterlock.node.ca.making import MadeFiles, make_authority_with_store
from letterlock.node.ca.root_work import (
    FurtherAuthority,
    RevokedFile,
    RootPlace,
    certify_again,
    make_further_authority,
    renew_root_crl,
)
from letterlock.node.ca.stores import open_store
from letterlock.protocols.audit.decisions import CrlLogged, RevocationLogged
from letterlock.protocols.audit.records import read_decision
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.hierarchy.chains import load_certificates
from letterlock.services.ca.keys.opening import KeyFile
from letterlock.services.ca.publications import Publications, name_folder
from tests.fakes import FakeClock
from tests.services.ca.keys.tokens import LABEL, PIN, find_module, softhsm

CRLS = "http://ca.example.org/crl/"


def read(folder: Path, ca: str = "") -> Config:
    return parse_config(
        f"""
        hostname = "ca.example.org"
        domains = ["example.org"]
        contact = "postmaster@example.org"
        data_dir = "{folder}/data"
        [ca]
        crl_url = "{CRLS}"
        {ca}
        """,
        folder / "letterlock.toml",
    )


@dataclass
class Made:
    folder: Path
    config: Config
    files: MadeFiles
    clock: FakeClock

    @property
    def safe(self) -> RootPlace:
        return RootPlace(KeyFile(self.files.root.key, self.files.root.passphrase))

    def with_issuers(self, *lines: str) -> Config:
        return read(self.folder, f"issuers = [{', '.join(lines)}]")


async def make(folder: Path, ca: str = "") -> Made:
    config, clock = read(folder, ca), FakeClock()
    return Made(folder, config, await make_authority_with_store(config, clock), clock)


@pytest.fixture
async def made(tmp_path: Path) -> Made:
    return await make(tmp_path / "one")


def line_of(made: FurtherAuthority, more: str = "") -> str:
    return (
        f'{{ certificate = "{made.certificate}", root = "{made.root}", key = "{made.key}", '
        f'passphrase_file = "{made.passphrase}"{more} }}'
    )


async def test_a_further_key_issues_beside_the_one_that_there_is(made: Made) -> None:
    """The first of the settings issues; the other still signs its CRLs."""
    further = make_further_authority(made.config, made.safe, "second", made.clock)
    assert [each.name for each in further.paths] == [
        *("second.pem", "second.key", "second.passphrase"),
    ]
    first = FurtherAuthority(
        made.files.issuing.certificate,
        made.files.root.certificate,
        made.files.issuing.key,
        made.files.issuing.passphrase,
    )
    config = made.with_issuers(line_of(further), line_of(first))
    new, old = load_issuers(config.ca, CRLS)
    new.certificate.verify_directly_issued_by(old.root)
    assert new.certificate.subject != old.certificate.subject
    assert new.authority.issuer.places != old.authority.issuer.places
    with pytest.raises(LocalError, match="choose another name"):
        make_further_authority(made.config, made.safe, "second", made.clock)


async def test_another_root_certifies_what_there_is_and_gives_it_a_second_chain(
    made: Made, tmp_path: Path
) -> None:
    """RFC 8555 §7.4.2"""
    other = await make(tmp_path / "two")
    place = RootPlace(other.safe.key, other.files.root.certificate)
    known = made.files.issuing.certificate
    again = certify_again(made.config, place, "cross", known, made.clock)
    assert again.paths == (again.certificate,)
    own = FurtherAuthority(
        known,
        made.files.root.certificate,
        made.files.issuing.key,
        made.files.issuing.passphrase,
    )
    config = made.with_issuers(line_of(own, f', alternates = ["{again.certificate}"]'))
    (issuer,) = load_issuers(config.ca, CRLS)
    one, two = (x509.load_pem_x509_certificate(each) for each in issuer.authority.chains)
    assert one.public_key() == two.public_key()
    two.verify_directly_issued_by(other.files.root_certificate)
    assert other.files.root_certificate in issuer.published


async def test_an_authority_that_is_revoked_is_on_its_roots_list_for_good(made: Made) -> None:
    """RFC 5280 §5.2.5; Baseline Requirements 4.9.7"""
    known = made.files.issuing.certificate
    revoked = RevokedFile(known, Reason.KEY_COMPROMISE, "operator a")
    async with open_store(made.config, made.clock) as store:
        await renew_root_crl(made.config, store, made.safe, made.clock, revoked)
        with pytest.raises(LocalError, match="is revoked already"):
            await renew_root_crl(made.config, store, made.safe, made.clock, revoked)
        crl = await renew_root_crl(made.config, store, made.safe, made.clock)
        publications = Publications(store, [made.files.root_certificate])
        found = await publications.find(name_folder(crl.issuer), "1.crl")
        records = await store.list_records(0, 100)
    assert found is not None
    (entry,) = x509.load_der_x509_crl(found.octets)
    (certificate,) = load_certificates(known)
    assert entry.serial_number == certificate.serial_number
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise
    logged = [read_decision(each.document) for each in records]
    assert [type(each) for each in logged] == [RevocationLogged, CrlLogged, CrlLogged]


async def test_a_root_revokes_only_what_it_certified(made: Made, tmp_path: Path) -> None:
    other = await make(tmp_path / "two")
    strange = RevokedFile(other.files.issuing.certificate, Reason.SUPERSEDED, "operator a")
    async with open_store(made.config, made.clock) as store:
        with pytest.raises(LocalError, match="is not certified by"):
            await renew_root_crl(made.config, store, made.safe, made.clock, strange)


async def test_a_key_that_is_no_roots_certifies_nothing(made: Made) -> None:
    wrong = RootPlace(KeyFile(made.files.issuing.key, made.files.issuing.passphrase))
    with pytest.raises(LocalError, match="another key than the certificate's"):
        make_further_authority(made.config, wrong, "second", made.clock)
    below = RootPlace(wrong.key, made.files.issuing.certificate)
    with pytest.raises(LocalError, match="nothing was certified"):
        make_further_authority(made.config, below, "second", made.clock)
    assert not (made.config.ca.folder / "second.key").exists()
    with pytest.raises(LocalError, match="no certificate is in it"):
        certify_again(made.config, made.safe, "cross", made.files.root.key, made.clock)


@pytest.mark.peer("softhsm")
async def test_a_further_key_is_made_in_the_token(tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o600)
    with softhsm(tmp_path):
        token = f"[ca.pkcs11]\nmodule = '{find_module()}'\ntoken = '{LABEL}'\npin_file = '{pin}'"
        made = await make(tmp_path / "one", token)
        further = make_further_authority(
            made.config, made.safe, "second", made.clock, is_in_token=True
        )
        assert (further.key, further.token_key) == (None, "second")
        line = (
            f'issuers = [{{ certificate = "{further.certificate}", root = "{further.root}", '
            f'token_key = "second" }}]\n{token}'
        )
        (issuer,) = load_issuers(read(made.folder, line).ca, CRLS)
        issuer.certificate.verify_directly_issued_by(made.files.root_certificate)
        with pytest.raises(LocalError, match="choose another name"):
            make_further_authority(made.config, made.safe, "second", made.clock, is_in_token=True)
