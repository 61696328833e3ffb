"""A handshake with a client, in the words of Postfix's log."""

from letterlock.protocols.tls.handshake import Handshake


def describe_tls(handshake: Handshake) -> str:
    """Give version, cipher and group on one line."""
    bits = handshake.cipher_bits
    group = f" key-exchange {handshake.group}" if handshake.group else ""
    resumed = ", resumed" if handshake.resumed else ""
    return (
        f"{handshake.version} with cipher {handshake.cipher} ({bits}/{bits} bits){group}{resumed}"
    )
