"""How ids are written in columns: serial numbers, issuers, names, counters."""

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.rate_limits import Counter


def serial_text(serial: int) -> str:
    return f"{serial:x}"


def identifier_text(identifier: Identifier) -> str:
    return f"{identifier.type}:{identifier.value}"


def find_identifier(text: str) -> Identifier:
    kind, _, value = text.partition(":")
    return Identifier(kind, value)


def name_values(name: CertificateId) -> tuple[str, str]:
    """Give the serial number and the issuer."""
    return serial_text(name.serial), name.key_identifier.hex()


def find_name(serial: str, issuer: str) -> CertificateId:
    return CertificateId(bytes.fromhex(issuer), int(serial, 16))


def counter_text(counter: Counter) -> str:
    return f"{counter.limit.name}\n{counter.key}"
