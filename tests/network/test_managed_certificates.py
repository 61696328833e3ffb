"""Certificates that the node gets for itself: they come, change and go while it runs."""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network import served_pairs
from letterlock.network.server_certificates import (
    ChoiceReason,
    ManagedPairs,
    ServerCertificates,
)
from letterlock.network.tls import TlsDriver
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.tls.handshake import Handshake
from letterlock.storage.certificate_files import CertificateFiles, PairListing
from tests.network.certificates import (
    NOW,
    authority,
    client_context,
    identify,
    issue,
    make_managed,
    shake,
    write_managed,
    write_pair,
)

HOST = Domain("mx.example.org")
MAIN, OTHER = (HOST,), ("mx.other.example",)


def serve(
    chooser: ServerCertificates, sni: str | None, signatures: bytes | None = None
) -> tuple[x509.Certificate, ChoiceReason]:
    client = TlsDriver.client(client_context(signatures=signatures), sni)
    server = TlsDriver.server(chooser)
    seen, served = shake(client, server)
    assert isinstance(seen, Handshake), seen
    assert isinstance(served, Handshake), served
    assert server.choice is not None
    return x509.load_der_x509_certificate(seen.chain[0]), server.choice.reason


def get(chooser: ServerCertificates, sni: str | None = None) -> x509.Certificate:
    return serve(chooser, sni)[0]


def names_of(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


def is_self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


class TestDefault:
    def test_until_the_first_is_there_everyone_gets_the_self_signed_one(
        self, tmp_path: Path
    ) -> None:
        chooser = make_managed(tmp_path, HOST)
        assert chooser.is_self_signed
        for sni in (None, HOST, "unknown.example"):
            assert is_self_signed(get(chooser, sni))
        assert chooser.names == (HOST,)
        assert [each.names for each in chooser.summarize(9)] == [MAIN]

    def test_the_first_real_one_takes_its_place(self, tmp_path: Path) -> None:
        """Also for clients that can't use it: nobody is shown what is not ours any more."""
        chooser = make_managed(tmp_path, HOST)
        write_managed(CertificateFiles(tmp_path), issue(MAIN, "rsa"))
        assert chooser.reload_if_changed().has_changes
        assert not chooser.is_self_signed
        for sni in (None, HOST, "unknown.example"):
            assert get(chooser, sni) == issue(MAIN, "rsa").certificate
        assert chooser.count == 1

    @pytest.mark.parametrize("names", [MAIN, ("*.example.org",)])
    def test_that_of_the_host_name_is_the_default(
        self, tmp_path: Path, names: tuple[str, ...]
    ) -> None:
        chooser = make_managed(tmp_path, HOST, issue(("a.example",)), issue(names))
        assert not chooser.is_self_signed
        for sni, reason in ((None, ChoiceReason.NO_SNI), ("b.example", ChoiceReason.UNKNOWN_NAME)):
            assert serve(chooser, sni) == (issue(names).certificate, reason)
        assert get(chooser, "a.example") == issue(("a.example",)).certificate

    def test_other_names_are_served_while_the_host_name_has_none(self, tmp_path: Path) -> None:
        chooser = make_managed(tmp_path, HOST, issue(OTHER))
        assert chooser.is_self_signed
        assert get(chooser, OTHER[0]) == issue(OTHER).certificate
        assert is_self_signed(get(chooser, HOST))
        assert is_self_signed(get(chooser))

    def test_a_configured_one_stays_the_default(self, tmp_path: Path) -> None:
        files = write_pair(tmp_path, issue(("set.example",)), "set")
        folder = tmp_path / "certificates"
        chooser = make_managed(folder, HOST, issue(MAIN), configured=[files])
        assert not chooser.is_self_signed
        assert get(chooser) == issue(("set.example",)).certificate
        assert get(chooser, HOST) == issue(MAIN).certificate

    def test_a_configured_one_goes_before_a_managed_one_of_the_same_name(
        self, tmp_path: Path
    ) -> None:
        own = authority().issue(MAIN, now=NOW)
        files = write_pair(tmp_path, own, "set")
        chooser = make_managed(tmp_path / "certificates", HOST, issue(MAIN), configured=[files])
        assert get(chooser, HOST) == own.certificate

    def test_without_a_self_signed_one_the_first_serves(self, tmp_path: Path) -> None:
        managed = ManagedPairs(PairListing(tmp_path), HOST)
        with pytest.raises(LocalError, match="at least one"):
            ServerCertificates([], managed=managed)
        write_managed(CertificateFiles(tmp_path), issue(OTHER))
        chooser = ServerCertificates([], managed=managed)
        assert get(chooser) == issue(OTHER).certificate

    def test_a_self_signed_one_that_is_made_anew_is_loaded(self, tmp_path: Path) -> None:
        chooser = make_managed(tmp_path, HOST)
        before = get(chooser)
        make_managed(tmp_path, HOST)
        assert chooser.reload_if_changed().loaded
        assert get(chooser) != before


class TestChanges:
    def test_names_come_change_and_go(self, tmp_path: Path) -> None:
        files = CertificateFiles(tmp_path)
        chooser = make_managed(tmp_path, HOST, issue(MAIN))
        write_managed(files, issue(OTHER))
        (loaded,) = chooser.reload_if_changed().loaded
        assert OTHER[0] in str(loaded)
        assert get(chooser, OTHER[0]) == issue(OTHER).certificate
        fresh = authority().issue(OTHER, now=NOW)
        write_managed(files, fresh)
        assert chooser.reload_if_changed().has_changes
        assert get(chooser, OTHER[0]) == fresh.certificate
        files.remove(identify(fresh))
        result = chooser.reload_if_changed()
        assert (result.removed, result.loaded) == (OTHER, ())
        assert serve(chooser, OTHER[0]) == (issue(MAIN).certificate, ChoiceReason.UNKNOWN_NAME)
        for _ in range(2):
            assert not chooser.reload_if_changed().has_changes

    def test_when_that_of_the_host_name_goes_the_self_signed_one_is_back(
        self, tmp_path: Path
    ) -> None:
        chooser = make_managed(tmp_path, HOST, issue(MAIN))
        CertificateFiles(tmp_path).remove(identify(issue(MAIN)))
        assert chooser.reload_if_changed().has_changes
        assert chooser.is_self_signed
        assert is_self_signed(get(chooser))

    def test_a_change_keeps_what_did_not_change(self, tmp_path: Path) -> None:
        chooser = make_managed(tmp_path, HOST, issue(MAIN))
        pair = chooser.choose(None).pair
        write_managed(CertificateFiles(tmp_path), issue(OTHER))
        chooser.reload_if_changed()
        assert chooser.choose(None).pair is pair

    def test_tickets_of_before_a_change_are_worth_nothing(self, tmp_path: Path) -> None:
        """Their keys go with the context: a key that leaked opens no later session."""
        chooser = make_managed(tmp_path, HOST, issue(MAIN))
        context = chooser.choose(None).context
        chooser.renew_ticket_keys()
        assert chooser.choose(None).context is not context
        assert get(chooser) == issue(MAIN).certificate


def test_handshakes_go_on_while_certificates_are_switched_and_removed(tmp_path: Path) -> None:
    """Whenever we look, key and chain are of one pair, and whoever comes is served."""
    names = [f"a{number}.example" for number in range(4)]
    chooser = make_managed(tmp_path, HOST, issue(MAIN), *(issue((name,)) for name in names))
    keys = {name: issue((name,)).key for name in names}

    def write() -> None:
        files, chance = CertificateFiles(tmp_path), random.Random(1)
        for _ in range(40):
            for name in chance.sample(names, 2):
                fresh = authority().issue([name], now=NOW, key=chance.choice(["ec", keys[name]]))
                if chance.random() < 0.2:
                    files.remove(identify(fresh))
                write_managed(files, fresh)

    with ThreadPoolExecutor(1) as executor:
        writing = executor.submit(write)
        changes = 0
        while not writing.done():
            result = chooser.reload_if_changed()
            changes += result.has_changes
            assert all("No such file" in fault for fault in result.faults)
            for name in names:
                shown = names_of(get(chooser, name))
                assert shown in ([name], [HOST])
        writing.result()
    assert changes
    for _ in range(2):
        chooser.reload_if_changed()
    for name in names:
        served = get(chooser, name).public_bytes(Encoding.PEM)
        assert served == (tmp_path / name / "cert.pem").read_bytes()


def test_of_many_the_default_and_those_that_end_first_are_told(tmp_path: Path) -> None:
    days = {"late.example": 80, "soon.example": 3, "next.example": 20}
    issued = [authority().issue([name], now=NOW, days=left) for name, left in days.items()]
    chooser = make_managed(tmp_path, HOST, issue(MAIN), issue(MAIN, "rsa"), *issued)
    told = [each.names[0] for each in chooser.summarize(4)]
    assert told == [HOST, HOST, "soon.example", "next.example"]
    assert chooser.count == 5


class FakeSource:
    """Lists what the test says; every look is a change."""

    def __init__(self, listing: dict[str, tuple[Path, Path]]) -> None:
        self.listing = listing
        self.is_silent = False

    def find_pairs(self) -> Mapping[str, tuple[Path, Path]] | None:
        return None if self.is_silent else dict(self.listing)


class TestFaults:
    @pytest.fixture
    def source(self, tmp_path: Path) -> FakeSource:
        return FakeSource({"main": write_pair(tmp_path, issue(MAIN), "main")})

    def test_one_that_cannot_be_loaded_keeps_no_other_back(
        self, source: FakeSource, tmp_path: Path
    ) -> None:
        source.listing["a"] = (tmp_path / "no.pem", tmp_path / "no.key")
        chooser = ServerCertificates([], managed=ManagedPairs(source, HOST))
        (warning,) = chooser.warnings
        assert "no.pem" in warning
        assert get(chooser) == issue(MAIN).certificate

    def test_it_is_tried_until_it_can_be_loaded(self, source: FakeSource, tmp_path: Path) -> None:
        chooser = ServerCertificates([], managed=ManagedPairs(source, HOST))
        fresh = authority().issue(MAIN, now=NOW)
        certificate, key = tmp_path / "new.pem", tmp_path / "new.key"
        source.listing["main"] = certificate, key
        for is_silent in (False, True):
            source.is_silent = is_silent
            result = chooser.reload_if_changed()
            assert not result.has_changes
            assert "new.pem" in result.faults[0]
            assert get(chooser) == issue(MAIN).certificate
        write_pair(tmp_path, fresh, "new")
        assert chooser.reload_if_changed().loaded == (certificate,)
        assert get(chooser) == fresh.certificate
        assert chooser.reload_if_changed().faults == ()

    def test_one_that_openssl_refuses_is_passed_over(
        self, source: FakeSource, tmp_path: Path
    ) -> None:
        """RFC 9325 §4.5: a key too short. It is tried when the first client comes."""
        weak = authority().issue(OTHER, now=NOW, key="rsa-1024")
        source.listing["weak"] = write_pair(tmp_path, weak, "weak")
        chooser = ServerCertificates([], managed=ManagedPairs(source, HOST))
        for _ in range(2):
            found = serve(chooser, OTHER[0])
            assert found == (issue(MAIN).certificate, ChoiceReason.UNUSABLE)

    def test_a_weak_one_for_the_host_name_is_no_default(
        self, source: FakeSource, tmp_path: Path
    ) -> None:
        weak = authority().issue(MAIN, now=NOW, key="rsa-1024")
        source.listing["another"] = write_pair(tmp_path, issue(OTHER), "other")
        source.listing["main"] = write_pair(tmp_path, weak, "weak")
        chooser = ServerCertificates([], managed=ManagedPairs(source, HOST))
        assert get(chooser, HOST) == issue(OTHER).certificate

    def test_a_chain_that_openssl_refuses_is_seen_at_once(
        self, source: FakeSource, tmp_path: Path
    ) -> None:
        """What is above is checked in the handshake only, too late for another choice."""
        above = authority().intermediate("Weak", now=NOW, key=rsa_1024())
        source.listing["weak"] = write_pair(tmp_path, above.issue(OTHER, now=NOW), "weak")
        chooser = ServerCertificates([], managed=ManagedPairs(source, HOST))
        assert "key too small" in chooser.warnings[0]
        assert get(chooser, OTHER[0]) == issue(MAIN).certificate


def rsa_1024() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


def test_chains_above_leaves_are_not_mixed(tmp_path: Path) -> None:
    chains: dict[str, Issued] = {}
    for number in range(3):
        above = authority().intermediate(f"Above {number}", now=NOW)
        for name in (f"a{number}.example", f"b{number}.example"):
            chains[name] = above.issue([name], now=NOW)
    chooser = make_managed(tmp_path, HOST, *chains.values(), issue(MAIN))
    contexts = set()
    for name, issued in chains.items():
        server = TlsDriver.server(chooser)
        seen, _ = shake(TlsDriver.client(client_context(), name), server)
        assert isinstance(seen, Handshake)
        assert seen.chain == issued.chain_der
        assert server.choice is not None
        contexts.add(server.choice.context)
    assert len(contexts) == 3


def test_without_pyopenssls_inside_it_is_slower_and_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ssl:
        Connection = SSL.Connection
        Error = SSL.Error

    chooser = make_managed(tmp_path, HOST, issue(MAIN, "rsa"), issue(MAIN))
    monkeypatch.setattr(served_pairs, "SSL", Ssl)
    assert get(chooser, HOST) == issue(MAIN).certificate
    assert serve(chooser, HOST, b"RSA-PSS+SHA256")[0] == issue(MAIN, "rsa").certificate
