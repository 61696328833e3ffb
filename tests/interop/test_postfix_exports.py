"""A Postfix shows the certificates that we export to it, also while their key is changed."""

import smtplib
import ssl

from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificate_files import CertificateFiles, make_export_access
from letterlock.storage.certificates import CertificateId, KeptPair
from tests.free_ports import free_port
from tests.interop.postfix_instance import postfix_files, running_postfix
from tests.journeys.running_node import PATIENCE
from tests.network.certificates import NOW, authority

IP = "127.0.0.1"
MX = CertificateId("mx.example.org", KeyType.ECDSA)


def make_pair(issued: Issued) -> KeptPair:
    return KeptPair(issued.chain_pem, issued.key_pem)


def show(port: int) -> bytes | None:
    """Give the leaf that is shown; None: there is no TLS."""
    context = ssl._create_unverified_context()
    with smtplib.SMTP(IP, port, "client.example", timeout=PATIENCE) as smtp:
        smtp.ehlo()
        try:
            smtp.starttls(context=context)
        except (smtplib.SMTPException, OSError):
            return None
        assert isinstance(smtp.sock, ssl.SSLSocket)
        return smtp.sock.getpeercert(binary_form=True)


def leaf(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


def test_one_path_has_a_key_and_its_own_chain_at_any_moment(postfix_peer: str) -> None:
    """RFC 7671 §8.1: a switch between two paths leaves a key beside another's chain, and no TLS."""
    old, new = (authority().issue([MX.name], now=NOW) for _ in range(2))
    combined, halves = free_port(IP), free_port(IP)
    with postfix_files(peer=postfix_peer) as files:
        export = files.folder / "export"
        exported = CertificateFiles(export, make_export_access(0o600))
        exported.write(MX, make_pair(old))
        files.settings = {"smtpd_tls_security_level": "may", "max_use": "1"}
        path = str(export / MX.name / "combined.pem")
        files.add_server(IP, combined, smtpd_tls_chain_files=path)
        key = files.folder / "key.pem"
        key.write_bytes(old.key_pem)
        both = f"{key}, {export / MX.name / 'fullchain.pem'}"
        files.add_server(IP, halves, smtpd_tls_chain_files=both)
        with running_postfix(files):
            assert show(halves) == leaf(old)
            exported.write(MX, make_pair(new))
            assert show(combined) == leaf(new)
            assert show(halves) is None
