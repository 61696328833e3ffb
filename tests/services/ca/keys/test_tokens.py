"""The authority's key in a token: SoftHSM's, whose sessions are lost and found again."""

from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest
from cryptography import x509

from letterlock.base.errors import LocalError
from letterlock.network import pkcs11_token
from letterlock.network.pkcs11_token import Token, TokenPlace, TokenSigner
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    AuthorityKeyKind,
    KeyUnavailable,
    check_signer,
    is_signed_by,
    make_key,
)
from letterlock.services.ca.crls import CrlPublisher, CrlRules
from letterlock.services.ca.keys.opening import TokenKey, open_signer, open_token
from tests.peers import require_peer
from tests.services.ca.hierarchy.authorities import make_world
from tests.services.ca.issuing.office import Office
from tests.services.ca.keys.tokens import LABEL, PIN, find_module, softhsm

KINDS: tuple[AuthorityKeyKind, ...] = ("ec-p256", "ec-p384", "rsa-2048")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, AuthorityKey]]:
    """Give the public halves of keys in one token, by their labels."""
    require_peer("softhsm")
    with softhsm(tmp_path_factory.mktemp("token")):
        token = Token(TokenPlace(find_module(), LABEL, PIN))
        yield {kind: token.make_key(kind, kind) for kind in KINDS}
        token.close()


@pytest.fixture
def token(made: dict[str, AuthorityKey]) -> Iterator[Token]:
    del made
    token = Token(TokenPlace(find_module(), LABEL, PIN))
    yield token
    token.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_signs_in_its_token(made: dict[str, AuthorityKey], token: Token, kind: str) -> None:
    signer = TokenSigner(token, kind, made[kind])
    for text in (b"", b"some octets", bytes(100_000)):
        assert is_signed_by(text, signer.sign(text), made[kind])


def test_a_key_never_leaves_its_token(made: dict[str, AuthorityKey], token: Token) -> None:
    """Rule 250"""
    del made, token
    session = pkcs11.lib(str(find_module())).get_token(token_label=LABEL).open(user_pin=PIN)
    with session:
        for kind in KINDS:
            key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=kind)
            assert (key[pkcs11.Attribute.SENSITIVE], key[pkcs11.Attribute.EXTRACTABLE]) == (
                True,
                False,
            )
            assert not key[pkcs11.Attribute.DECRYPT]


def test_a_session_that_is_lost_is_found_again(made: dict[str, AuthorityKey], token: Token) -> None:
    """The library is begun anew behind our back: each session and each key is worth nothing."""
    signer = TokenSigner(token, "ec-p256", made["ec-p256"])
    signer.sign(b"before")
    pkcs11.lib(str(find_module())).reinitialize()
    assert is_signed_by(b"after", signer.sign(b"after"), signer.public_key)


def test_a_library_that_lost_all_is_begun_anew(
    made: dict[str, AuthorityKey], token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new session is no good either, until the library begins again; then it is found."""
    signer = TokenSigner(token, "ec-p256", made["ec-p256"])
    library = pkcs11.lib(str(find_module()))
    steps: list[str] = []

    class Library:
        def get_token(self, **asked: str) -> pkcs11.Token:
            steps.append("token")
            if "again" not in steps:
                raise pkcs11.DeviceError
            return library.get_token(**asked)

        def reinitialize(self) -> None:
            steps.append("again")
            library.reinitialize()

    monkeypatch.setattr(pkcs11, "lib", lambda _: Library())
    assert is_signed_by(b"text", signer.sign(b"text"), signer.public_key)
    assert steps == ["token", "token", "again", "token"]


def test_a_token_that_stays_away_is_told_and_found_later(
    made: dict[str, AuthorityKey], token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = TokenSigner(token, "ec-p256", made["ec-p256"])

    class Away:
        def get_token(self, **_: str) -> pkcs11.Token:
            raise pkcs11.DeviceRemoved

        def reinitialize(self) -> None:
            raise pkcs11.GeneralError

    with monkeypatch.context() as patch:
        patch.setattr(pkcs11, "lib", lambda _: Away())
        with pytest.raises(KeyUnavailable, match=f"token {LABEL} of .*: DeviceRemoved"):
            signer.sign(b"text")
    check_signer(signer)


def test_two_tokens_of_one_place_share_its_login(
    made: dict[str, AuthorityKey], token: Token
) -> None:
    """A login is the token's: the second one of a process is refused, and not needed."""
    other = Token(token.place)
    for each in (token, other, token):
        check_signer(TokenSigner(each, "ec-p384", made["ec-p384"]))
    other.close()


def test_a_wrong_pin_is_tried_once_only(
    made: dict[str, AuthorityKey], token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens lock themselves after few. Rule 250"""
    del made
    wrong = Token(TokenPlace(token.place.module, LABEL, "0000"))
    with pytest.raises(KeyUnavailable, match="the PIN was refused"):
        wrong.sign("ec-p256", bytes(32), pkcs11.Mechanism.ECDSA)

    def load(_: str) -> None:
        raise AssertionError("the token was asked again")

    monkeypatch.setattr(pkcs11, "lib", load)
    with pytest.raises(KeyUnavailable, match="is not tried again") as caught:
        wrong.sign("ec-p256", bytes(32), pkcs11.Mechanism.ECDSA)
    assert "0000" not in str(caught.value) + repr(wrong.place)


def test_what_is_not_there_is_told(made: dict[str, AuthorityKey], token: Token) -> None:
    del made
    with pytest.raises(KeyUnavailable, match="NoSuchKey"):
        token.sign("missing", bytes(32), pkcs11.Mechanism.ECDSA)
    for place in (
        TokenPlace(token.place.module, "missing", PIN),
        TokenPlace(Path("/does/not/exist.so"), LABEL, PIN),
    ):
        with pytest.raises(KeyUnavailable, match=r"NoSuchToken|cannot open shared object"):
            Token(place).sign("ec-p256", bytes(32), pkcs11.Mechanism.ECDSA)


def test_a_label_is_taken_once(made: dict[str, AuthorityKey], token: Token) -> None:
    del made
    with pytest.raises(KeyUnavailable, match="a key ec-p256 already"):
        token.make_key("ec-p256", "ec-p256")


def test_a_token_that_hangs_makes_nobody_wait_for_ever(
    made: dict[str, AuthorityKey], token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    del made
    monkeypatch.setattr(pkcs11_token, "PATIENCE_SECONDS", 0.01)
    # The library's: another token of it cannot be asked meanwhile either.
    hanging = Token(TokenPlace(token.place.module, "another", PIN))
    with hanging._lock, pytest.raises(KeyUnavailable, match="does not answer"):
        token.sign("ec-p256", bytes(32), pkcs11.Mechanism.ECDSA)


async def test_an_authority_whose_key_is_in_a_token_issues_and_revokes(
    made: dict[str, AuthorityKey], token: Token, office: Office
) -> None:
    """Its session is lost in between: nobody sees it."""
    world = make_world(TokenSigner(token, "ec-p256", made["ec-p256"]))
    office = Office(office.kept, office.clock, world)
    office.signer = world.signer  # type: ignore[assignment]
    office.authority = world.authority
    for name in ("a.example", "b.example"):
        claimed = await office.add_order(name)
        assert await office.issuing().do(claimed) is None
        issued = await office.find_issued(claimed)
        assert issued is not None
        leaf = x509.load_der_x509_certificate(issued.der)
        leaf.verify_directly_issued_by(world.certificate)
        pkcs11.lib(str(find_module())).reinitialize()
    rules = CrlRules(shards=1)
    publisher = CrlPublisher(office.kept, [office.authority], rules, office.clock, office.log)
    assert await publisher.publish_due() == 1


def test_a_key_in_a_token_is_that_of_its_certificate(
    made: dict[str, AuthorityKey], tmp_path: Path
) -> None:
    pin = tmp_path / "pin"
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o600)
    opened = open_token(find_module(), LABEL, pin)
    assert open_token(find_module(), LABEL, pin) is opened, "each SIGHUP would leave a session"
    signer = open_signer(TokenKey(opened, "ec-p256"), made["ec-p256"])
    assert is_signed_by(b"text", signer.sign(b"text"), made["ec-p256"])
    with pytest.raises(LocalError, match="another one than the certificate's"):
        open_signer(TokenKey(opened, "ec-p256"), make_key("ec-p256").public_key())
    with pytest.raises(LocalError, match="NoSuchKey"):
        open_signer(TokenKey(opened, "missing"), made["ec-p256"])
    opened.close()
    pin.write_text("\n")
    with pytest.raises(LocalError, match="is empty"):
        open_token(find_module(), LABEL, pin)
