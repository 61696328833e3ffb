"""What a PROXY header says, and why octets are none.

The PROXY protocol §2 (HAProxy, 2020). `reader` reads one; `text_form` and `binary_form` are its
two forms, read and written.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_address

MAX_PORT = 65535


class HeaderFault(StrEnum):
    """Why octets are no PROXY header that we take."""

    NOT_A_HEADER = "it does not begin with a PROXY header"
    TOO_LONG = "the PROXY header is too long"
    MALFORMED = "the PROXY header is malformed"
    UNKNOWN_VERSION = "the PROXY header is of an unknown version"
    UNKNOWN_COMMAND = "the PROXY header has an unknown command"
    UNKNOWN_FAMILY = "the PROXY header is not of a TCP connection"
    WRONG_CHECKSUM = "the PROXY header's checksum is wrong"


class HeaderError(ValueError):
    """Octets that are no PROXY header; `fault` says why."""

    def __init__(self, fault: HeaderFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection: an address in its usual form, and a port."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProxiedTls:
    """What TLS the client had with the proxy, in the proxy's words (§2.2.6). "": not told.

    `common_name` is that of the client's certificate; `is_verified`: the proxy found it good.
    """

    version: str
    cipher: str = ""
    common_name: str = ""
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a proxy says of a connection that it made to us.

    `is_local`: there is no client behind it; the proxy looks whether we are well. Without a
    `source` the proxy does not know, or does not say, who is. `alpn` and `authority` are what the
    client asked for: a protocol, a server's name (§2.2.1, §2.2.2).
    """

    source: Endpoint | None = None
    destination: Endpoint | None = None
    is_local: bool = False
    tls: ProxiedTls | None = None
    alpn: bytes | None = None
    authority: str | None = None


def make_endpoint(address: str | int | bytes, port: int) -> Endpoint:
    """Give an end; an IPv4 address that is written as an IPv6 address becomes one again.

    `address` as `ipaddress` takes it. Raises ValueError.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Endpoint(str(ip), port)
