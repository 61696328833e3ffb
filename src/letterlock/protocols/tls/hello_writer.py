"""A ClientHello made by hand, to ask a server what it would take: it leads to no session.

RFC 8446 §4.1.2 and §4.2 (the message, its extensions), RFC 5246 §7.4.1.2, RFC 5746 §3.4
(renegotiation_info), RFC 7627 §5.1 (extended_master_secret), RFC 6066 §3 (server_name). OpenSSL has
no SSL 3.0 (RFC 7568 §3), no RC4 and no export suites any more, and cannot ask for them. A key share
is never sent: by RFC 8446 §4.1.4 a server of TLS 1.3 then names the group that it would take. SSL
2.0's other hello is left out.
"""

from dataclasses import dataclass

from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3
from letterlock.protocols.tls.vectors import make_numbers, make_vector

SSL_3_0, TLS_1_0, TLS_1_1 = 0x0300, 0x0301, 0x0302
RANDOM_OCTETS = 32

_CLIENT_HELLO = 1
_HANDSHAKE = b"\x16"
_SCSV = 0x00FF  # RFC 5746 §3.3
_DEFLATE_OR_NONE = b"\x01\x00"  # DEFLATE, then none: who takes it compresses
_SIGNATURES = (
    *(0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B),
    *(0x081A, 0x081B, 0x081C, 0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0203, 0x0201),
    *(0x0402, 0x0302, 0x0202),
)
"""RFC 8446 §4.2.3, and RFC 5246's of old: no server is to fail for want of one."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a hello offers: one version, and the suites and groups that it may be with.

    `sni` None: no name.
    """

    version: int
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    sni: str | None = None


def write_client_hello(offer: Offer, random: bytes) -> bytes:
    """Give the record that makes the offer. `random` is 32 octets."""
    is_new = offer.version == TLS_1_3
    body = min(offer.version, TLS_1_2).to_bytes(2, "big") + random + make_vector(b"", 1)
    suites = offer.suites if is_new else (*offer.suites, _SCSV)
    body += make_vector(make_numbers(suites), 2)
    body += make_vector(b"\0" if is_new else _DEFLATE_OR_NONE, 1)
    # RFC 6101 §5.6.1.2: SSL 3.0 has no extensions.
    if offer.version > SSL_3_0:
        listed = (
            make_numbers((kind,)) + make_vector(it, 2) for kind, it in _list_extensions(offer)
        )
        body += make_vector(b"".join(listed), 2)
    message = bytes((_CLIENT_HELLO,)) + make_vector(body, 3)
    # RFC 8446 §5.1: for the sake of old servers no newer version stands on the record.
    return _HANDSHAKE + min(offer.version, TLS_1_0).to_bytes(2, "big") + make_vector(message, 2)


def _list_extensions(offer: Offer) -> list[tuple[int, bytes]]:
    listed = []
    if offer.sni is not None:
        name = make_vector(offer.sni.encode("ascii", "replace"), 2)
        listed.append((0, make_vector(b"\0" + name, 2)))
    listed.append((10, make_vector(make_numbers(offer.groups), 2)))
    if offer.version >= TLS_1_2:
        listed.append((13, make_vector(make_numbers(_SIGNATURES), 2)))
    if offer.version == TLS_1_3:
        versions = make_vector(make_numbers((TLS_1_3,)), 1)
        # 51: no key share, for a HelloRetryRequest; 45: psk_dhe_ke.
        return [*listed, (43, versions), (45, b"\x01\x01"), (51, make_vector(b"", 2))]
    # 11: points as they are; 23: extended_master_secret.
    return [*listed, (11, b"\x01\x00"), (23, b"")]
