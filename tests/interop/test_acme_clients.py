"""Certificates for the ACME clients of others: certbot, lego, dehydrated, caddy, autocert.

RFC 8555, RFC 8737, RFC 8738, RFC 9773. One authority serves all of them. The long tests ask for
more, and do all of it at a Pebble as well: what differs is then the authority's, not the test's.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.interop.acme_programs import Certbot, Dehydrated, Lego, require_certbot
from tests.interop.acme_servers import (
    Autocert,
    Caddy,
    proof_server,
    shown_certificate,
    web_server,
)
from tests.interop.acme_world import AcmeWorld, name_of
from tests.interop.acme_worlds import NEW_PEBBLE, OLD_PEBBLE, OURS, running_world
from tests.interop.background import in_background

NUMBERS = count(1)


def at(pebble: str) -> pytest.MarkDecorator:
    """Have tests run at our authority; in the long tests at a Pebble too."""
    worlds = [OURS, pytest.param(pebble, marks=pytest.mark.proof)]
    return pytest.mark.parametrize("world", worlds, indirect=True)


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AcmeWorld]:
    with in_background(running_world(request.param, tmp_path_factory.mktemp("acme"))) as running:
        yield running


@pytest.fixture
def certbot(world: AcmeWorld) -> Certbot:
    require_certbot()
    return Certbot(world, str(next(NUMBERS)))


@pytest.fixture
def lego(world: AcmeWorld) -> Lego:
    return Lego(world, str(next(NUMBERS)))


@pytest.fixture
def dehydrated(world: AcmeWorld) -> Dehydrated:
    return Dehydrated(world, str(next(NUMBERS)))


@pytest.fixture
def caddy(world: AcmeWorld) -> Caddy:
    return Caddy(world, str(next(NUMBERS)))


@pytest.fixture
def autocert(world: AcmeWorld) -> Autocert:
    return Autocert(world, str(next(NUMBERS)))


def read(chain: Path) -> x509.Certificate:
    """Read the first certificate of a chain."""
    return x509.load_pem_x509_certificates(chain.read_bytes())[0]


def names_in(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(each.value) for each in found}


def check(world: AcmeWorld, chain: Path, *names: str) -> x509.Certificate:
    """Check that a chain is for these names and leads to a root; gives its first certificate."""
    leaf, *others = x509.load_pem_x509_certificates(chain.read_bytes())
    assert names_in(leaf) == set(names)
    roots = Store(x509.load_pem_x509_certificates(world.roots.read_bytes()))
    subject = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value[0]
    text = str(subject.value).replace("*", "any")
    wanted = x509.IPAddress(subject.value) if isinstance(subject, x509.IPAddress) else None
    verifier = PolicyBuilder().store(roots).build_server_verifier(wanted or x509.DNSName(text))
    assert len(verifier.verify(leaf, others)) >= 3
    return leaf


def is_issued(world: AcmeWorld, leaf: x509.Certificate) -> bool:
    """Is it by the same issuer as what this authority issues, by its name?"""
    tops = x509.load_pem_x509_certificates(world.roots.read_bytes())
    return leaf.issuer != leaf.subject and leaf.issuer not in {top.subject for top in tops}


def top_of(chain: Path) -> str:
    """Give the common name that the last certificate of a chain was issued by."""
    last = x509.load_pem_x509_certificates(chain.read_bytes())[-1]
    return str(last.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@at(NEW_PEBBLE)
class TestLego:
    """lego 4.9, of Debian."""

    pytestmark = pytest.mark.peer("lego")

    def test_http_01_then_revoked_by_its_account(self, world: AcmeWorld, lego: Lego) -> None:
        """RFC 8555 §8.3, §7.6."""
        name = name_of("lego")
        lego.run("--domains", name, *lego.by_http, "run")
        leaf = check(world, lego.chain(name), name)
        assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
        lego.run("--domains", name, "revoke", "--reason", 4, "--keep")
        assert world.is_revoked(leaf)

    def test_tls_alpn_01(self, world: AcmeWorld, lego: Lego) -> None:
        """RFC 8737 §3: two names in one certificate."""
        names = [name_of("lego"), name_of("lego", "mx2")]
        asked = [word for name in names for word in ("--domains", name)]
        lego.run(*asked, *lego.by_tls, "run")
        check(world, lego.chain(names[0]), *names)

    def test_a_wildcard_and_its_base_by_dns_01(self, world: AcmeWorld, lego: Lego) -> None:
        """RFC 8555 §8.4: two TXT records at one name."""
        base = "lego.example.org"
        lego.run("--domains", f"*.{base}", "--domains", base, *lego.by_dns, "run")
        check(world, lego.chain(f"*.{base}"), base, f"*.{base}")

    @pytest.mark.proof
    def test_an_account_that_is_bound_to_another_one(self, world: AcmeWorld, lego: Lego) -> None:
        """RFC 8555 §7.3.4."""
        name = name_of("lego", "mx3")
        lego.run(*lego.bound, "--domains", name, *lego.by_http, "run")
        check(world, lego.chain(name), name)

    @pytest.mark.proof
    def test_renewed_with_an_rsa_key_and_its_own_request(
        self, world: AcmeWorld, lego: Lego
    ) -> None:
        """RFC 8555 §7.4: authorizations are used again, or not."""
        name = name_of("lego", "mx4")
        asked = ["--key-type", "rsa2048", "--domains", name, *lego.by_http]
        lego.run(*asked, "run")
        first = check(world, lego.chain(name), name)
        lego.run(*asked, "renew", "--days", 1000, "--no-random-sleep", "--reuse-key")
        second = check(world, lego.chain(name), name)
        assert isinstance(second.public_key(), rsa.RSAPublicKey)
        assert first.public_key() == second.public_key()
        assert first.serial_number != second.serial_number

    @pytest.mark.proof
    def test_another_chain(self, world: AcmeWorld, lego: Lego) -> None:
        """RFC 8555 §7.4.2."""
        if not world.other_top:
            pytest.skip("this authority has one chain only")
        name = name_of("lego", "mx3")
        words = ["run", "--preferred-chain", world.other_top]
        lego.run("--domains", name, *lego.by_http, *words)
        assert top_of(lego.chain(name)) == world.other_top


@at(NEW_PEBBLE)
class TestCertbot:
    """certbot 5.8, of PyPI."""

    def test_http_01_renewed_when_the_authority_says_so(
        self, world: AcmeWorld, certbot: Certbot
    ) -> None:
        """RFC 8555 §8.3; RFC 9773 §4.2, §5."""
        name = name_of("certbot")
        certbot.run("certonly", *certbot.standalone, "-d", name)
        first = check(world, certbot.chain(name), name)
        world.hasten(first)
        certbot.run("renew", "--no-random-sleep-on-renew")
        second = check(world, certbot.chain(name), name)
        assert first.serial_number != second.serial_number

    @pytest.mark.proof
    def test_dns_01_for_an_rsa_wildcard_then_revoked_by_its_key(
        self, world: AcmeWorld, certbot: Certbot
    ) -> None:
        """RFC 8555 §8.4, §7.6."""
        name = "certbot.example.org"
        words = ["--key-type", "rsa", "--preferred-profile", world.profile]
        certbot.run("certonly", *certbot.by_dns, "-d", f"*.{name}", "-d", name, *words)
        chain = certbot.chain(name)
        leaf = check(world, chain, name, f"*.{name}")
        assert isinstance(leaf.public_key(), rsa.RSAPublicKey)
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        assert life < timedelta(days=11)
        by_key = ["--cert-path", chain, "--key-path", chain.with_name("privkey1.pem")]
        certbot.run("revoke", *by_key, "--reason", "keycompromise", "--no-delete-after-revoke")
        assert world.is_revoked(leaf)

    @pytest.mark.proof
    def test_the_files_of_another_web_server(self, world: AcmeWorld, certbot: Certbot) -> None:
        """RFC 8555 §8.3."""
        root = certbot.folder / "webroot"
        root.mkdir()
        names = [name_of("certbot", label) for label in ("mx2", "mx3")]
        words = ["--webroot", "-w", root, "-d", names[0], "-d", names[1]]
        with web_server(certbot.address, world.http_port, root):
            certbot.run("certonly", *words)
        check(world, certbot.chain(names[0]), *names)

    @pytest.mark.proof
    def test_the_life_of_an_account(self, world: AcmeWorld, certbot: Certbot) -> None:
        """RFC 8555 §7.3.4, §7.3.2, §7.3.6: bound to another one, changed, and closed."""
        bound = ["--eab-kid", world.kid, "--eab-hmac-key", world.mac_key]
        certbot.run("register", *bound)
        certbot.run("update_account", "--email", "hostmaster@example.org")
        certbot.run("show_account")
        name = name_of("certbot", "mx4")
        certbot.run("certonly", *certbot.standalone, "-d", name)
        leaf = check(world, certbot.chain(name), name)
        certbot.run("revoke", "--cert-name", name, "--no-delete-after-revoke")
        assert world.is_revoked(leaf)
        certbot.run("unregister")

    @pytest.mark.proof
    def test_an_address(self, world: AcmeWorld, certbot: Certbot) -> None:
        """RFC 8738 §3."""
        words = ["--ip-address", certbot.address, "--preferred-profile", world.profile]
        certbot.run("certonly", *certbot.standalone, *words)
        check(world, certbot.chain(certbot.address), certbot.address)

    @pytest.mark.proof
    def test_another_chain(self, world: AcmeWorld, certbot: Certbot) -> None:
        """RFC 8555 §7.4.2."""
        if not world.other_top:
            pytest.skip("this authority has one chain only")
        name = name_of("certbot", "mx2")
        words = ["--preferred-chain", world.other_top]
        certbot.run("certonly", *certbot.standalone, "-d", name, *words)
        assert top_of(certbot.chain(name)) == world.other_top

    @pytest.mark.proof
    def test_a_name_that_is_not_proved(self, world: AcmeWorld, certbot: Certbot) -> None:
        """RFC 8555 §6.7: what the authority says is what the operator reads."""
        root = certbot.folder / "nobody-shows-this"
        root.mkdir()
        words = ["--webroot", "-w", root, "-d", name_of("certbot", "mx2")]
        with web_server(certbot.address, world.http_port, certbot.folder / "config"):
            said = certbot.call("certonly", *words)
        assert said.code == 1
        # Pebble's word, and ours: its file is not the one that the challenge wants.
        assert re.search(r"unauthorized|incorrectResponse", said.text), said.text
        assert "404" in said.text


@at(NEW_PEBBLE)
class TestDehydrated:
    """dehydrated 0.7, of Debian."""

    pytestmark = pytest.mark.peer("dehydrated")

    @pytest.mark.proof
    def test_dns_01_for_a_p_384_key(self, world: AcmeWorld, dehydrated: Dehydrated) -> None:
        """RFC 8555 §8.4."""
        names = [name_of("dehydrated"), name_of("dehydrated", "mx2")]
        dehydrated.run("--register", "--accept-terms")
        dehydrated.run("-c", "-t", "dns-01", "-a", "secp384r1", "-d", " ".join(names))
        key = check(world, dehydrated.chain(names[0]), *names).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP384R1)

    @pytest.mark.proof
    def test_http_01_then_revoked_and_the_account_closed(
        self, world: AcmeWorld, dehydrated: Dehydrated
    ) -> None:
        """RFC 8555 §8.3, §7.6, §7.3.6."""
        name = name_of("dehydrated", "mx3")
        dehydrated.run("--register", "--accept-terms")
        dehydrated.run("--account")
        with web_server(dehydrated.address, world.http_port, dehydrated.webroot):
            dehydrated.run("-c", "-t", "http-01", "-a", "rsa", "-d", name)
        chain = dehydrated.chain(name)
        leaf = check(world, chain, name)
        dehydrated.run("--revoke", chain.with_name("cert.pem"))
        assert world.is_revoked(leaf)
        dehydrated.run("--deactivate")

    @pytest.mark.proof
    def test_tls_alpn_01(self, world: AcmeWorld, dehydrated: Dehydrated) -> None:
        """RFC 8737 §3: OpenSSL makes the certificate of the proof, and Python shows it."""
        name = name_of("dehydrated", "mx4")
        dehydrated.run("--register", "--accept-terms")
        proofs = dehydrated.folder / "alpn-certs"
        with proof_server(dehydrated.address, world.tls_port, proofs):
            dehydrated.run("-c", "-t", "tls-alpn-01", "-a", "prime256v1", "-d", name)
        check(world, dehydrated.chain(name), name)


@at(OLD_PEBBLE)
class TestCaddy:
    """caddy 2.6, of Debian."""

    pytestmark = pytest.mark.peer("caddy")

    def test_tls_alpn_01_and_clients_without_a_name(self, world: AcmeWorld, caddy: Caddy) -> None:
        """RFC 8737 §3; RFC 6066 §3."""
        name = name_of("caddy")
        place = (caddy.address, world.tls_port)
        with caddy.serving(name):
            leaf = shown_certificate(*place, name)
            assert shown_certificate(*place, None) == leaf
        assert names_in(leaf) == {name}
        assert is_issued(world, leaf)

    @pytest.mark.proof
    @pytest.mark.parametrize("is_bound", [False, True], ids=["free", "bound"])
    def test_http_01(self, world: AcmeWorld, caddy: Caddy, *, is_bound: bool) -> None:
        """RFC 8555 §8.3, §7.3.4."""
        name = name_of("caddy", "mx3" if is_bound else "mx2")
        with caddy.serving(name, by_http=True, is_bound=is_bound):
            leaf = shown_certificate(caddy.address, world.tls_port, name)
        assert names_in(leaf) == {name}
        assert is_issued(world, leaf)


@pytest.mark.proof
@at(OLD_PEBBLE)
class TestAutocert:
    """golang.org/x/crypto/acme 0.4 and autocert, of Debian, with its Go."""

    pytestmark = pytest.mark.peer("go")

    def test_tls_alpn_01_and_a_second_certificate_for_rsa(
        self, world: AcmeWorld, autocert: Autocert
    ) -> None:
        """RFC 8737 §3: the first handshake has it issued; the account is used again."""
        name = name_of("autocert")
        place = (autocert.address, world.tls_port)
        with autocert.serving(name):
            leaf = shown_certificate(*place, name)
            assert shown_certificate(*place, None) == leaf
            other = shown_certificate(*place, name, is_rsa=True)
        with autocert.serving(name, name_of("autocert", "mx2")):
            assert shown_certificate(*place, name) == leaf
            second = shown_certificate(*place, name_of("autocert", "mx2"))
        assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
        assert isinstance(other.public_key(), rsa.RSAPublicKey)
        assert all(is_issued(world, each) for each in (leaf, other, second))

    def test_http_01_where_tls_alpn_01_fails(self, world: AcmeWorld, autocert: Autocert) -> None:
        """RFC 8555 §8.2, §7.5.2: it deactivates what it could not prove, and asks anew."""
        name = name_of("autocert", "mx3")
        with autocert.serving(name, by_http=True):
            leaf = shown_certificate(autocert.address, world.tls_port + 1, name)
        assert names_in(leaf) == {name}
        assert is_issued(world, leaf)

    @pytest.mark.parametrize("is_bound", [False, True], ids=["free", "bound"])
    def test_an_account_step_by_step(
        self, world: AcmeWorld, autocert: Autocert, *, is_bound: bool
    ) -> None:
        """RFC 8555 §7.3.2, §7.3.4 to §7.3.6, §7.4.2, §7.6."""
        binding = autocert.bound if is_bound else []
        said = autocert.run("-hosts", name_of("autocert", "mx4"), *binding).splitlines()
        alternates = ["alternate 2"] if world.other_top else []
        assert said == [
            "registered",
            "contact mailto:hostmaster@example.org",
            "key changed",
            "certificates 2",
            *alternates,
            "revoked by its key",
            "revoked by the account",
            "closed",
        ]
