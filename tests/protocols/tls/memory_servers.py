"""TLS servers in memory: OpenSSL, by the standard library, and what it answers to a hello."""

import ssl
import tempfile
import warnings
from pathlib import Path

import pytest

from letterlock.protocols.tls.client_hello import Incomplete
from letterlock.protocols.tls.hello_writer import Offer, write_client_hello
from letterlock.protocols.tls.server_flight import Answer, parse_server_flight
from tests.network.certificates import issue

HOST = "mx.example.org"
RANDOM = bytes(range(32))


def serve(ciphers: str, *versions: ssl.TLSVersion, has_both_keys: bool = False) -> ssl.SSLContext:
    """Make a server of these ciphers (OpenSSL's words), from the first version to the last."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    for key in ("rsa", "ec") if has_both_keys else ("rsa",):
        pair = issue((HOST,), key)
        _load(context, pair.chain_pem + pair.key_pem)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_text(FFDHE_2048)
        context.load_dh_params(file.name)
    if versions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = versions[0], versions[-1]
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pem)
        context.load_cert_chain(file.name)


def ask(context: ssl.SSLContext, offer: Offer) -> Answer | Incomplete:
    """Give what a server of the standard library, over memory, answers to an offer."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(write_client_hello(offer, RANDOM))
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    return parse_server_flight(outgoing.read())


FFDHE_2048 = """\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
