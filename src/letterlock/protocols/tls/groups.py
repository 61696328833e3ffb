"""The groups that keys are agreed in, by number: RFC 8446 §4.2.7, RFC 7919 §2, RFC 8422 §5.1.1.

The numbers are IANA's; those with ML-KEM withstand quantum computers (draft-ietf-tls-ecdhe-mlkem).
"""

GROUPS = {
    0x11EC: "X25519MLKEM768",
    0x11EB: "SecP256r1MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
    0x0200: "MLKEM512",
    0x0201: "MLKEM768",
    0x0202: "MLKEM1024",
    0x6399: "X25519Kyber768Draft00",
    29: "x25519",
    23: "secp256r1",
    30: "x448",
    24: "secp384r1",
    25: "secp521r1",
    31: "brainpoolP256r1tls13",
    32: "brainpoolP384r1tls13",
    33: "brainpoolP512r1tls13",
    256: "ffdhe2048",
    257: "ffdhe3072",
    258: "ffdhe4096",
    259: "ffdhe6144",
    260: "ffdhe8192",
}
"""In the order in which they are offered: the newest first."""

OLD_CURVES = {
    26: "brainpoolP256r1",
    27: "brainpoolP384r1",
    28: "brainpoolP512r1",
    21: "secp224r1",
    19: "secp192r1",
    22: "secp256k1",
    14: "sect571r1",
    12: "sect409r1",
    10: "sect283r1",
    18: "secp192k1",
    16: "secp160r1",
}
"""For TLS 1.2 and older alone."""

POST_QUANTUM = frozenset({0x11EC, 0x11EB, 0x11ED, 0x0200, 0x0201, 0x0202})


def name_group(group: int) -> str:
    """Give IANA's name, or the number."""
    return GROUPS.get(group) or OLD_CURVES.get(group) or f"0x{group:04X}"
