"""Which keys are certified. Weak moduli are made here: each has the fault that it is to show."""

from math import gcd, isqrt, prod

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.protocols.pki.issuance.subject_keys import (
    DEBIAN_DIGEST_OCTETS,
    EXPONENT,
    KEY_KINDS,
    SPKI_DIGEST_OCTETS,
    DigestList,
    KeyListError,
    RefusedKeys,
    SubjectKey,
    digest_debian,
    digest_spki,
    encode_spki,
    find_key_faults,
    find_key_kind,
    has_close_primes,
    is_roca,
    parse_digest_list,
)
from tests.protocols.pki.issuance.authority import SUBJECT_KEY, rsa_key

NONE = RefusedKeys()
PRIMES = [n for n in range(2, 752) if all(n % d for d in range(2, n))]
HALF = 2**1024


def faults(key: object, refused: RefusedKeys = NONE) -> str:
    return "; ".join(find_key_faults(key, KEY_KINDS, refused))


def rsa_public(modulus: int, exponent: int = EXPONENT) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def rough_below(start: int) -> int:
    """Give the first odd number below without a factor below 752: no prime, but like one."""
    number = start - 1 - start % 2
    while gcd(number, prod(PRIMES)) != 1:
        number -= 2
    return number


def roca_factor(bits: int, exponent: int) -> int:
    """Make a number as Infineon's library made primes: a power of 65537 modulo many primes."""
    product = prod(PRIMES[:39])
    number: int = pow(EXPONENT, exponent, product) + (2**bits // product - 1) * product
    while gcd(number, prod(PRIMES)) != 1:
        number -= product
    return number


GOOD_FACTORS = rough_below(HALF - 2**1000), rough_below(HALF - 2**1010)


def test_good_keys_have_no_fault() -> None:
    assert faults(SUBJECT_KEY) == ""
    assert faults(ec.generate_private_key(ec.SECP384R1()).public_key()) == ""
    assert faults(rsa_key().public_key()) == ""


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (ed25519.Ed25519PrivateKey.generate().public_key(), "neither ECDSA nor RSA"),
        (dsa.generate_private_key(2048).public_key(), "neither ECDSA nor RSA"),
        (
            ec.generate_private_key(ec.SECP521R1()).public_key(),
            "ECDSA on secp521r1; it may be ec-p",
        ),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "ECDSA on secp256k1"),
        (rsa_public(rough_below(2**1023) * rough_below(2**1000)), "RSA with 2023 bits"),
        (rsa_public(rough_below(2**1030) * rough_below(2**1018)), "RSA with 2048 bits"),
        (rsa_public((1 << 8200) + 1), "more than 8192 bits"),
        (rsa_public(GOOD_FACTORS[0] * GOOD_FACTORS[1], 3), "exponent is not 65537"),
        (rsa_public(GOOD_FACTORS[0] * GOOD_FACTORS[1], 65539), "exponent is not 65537"),
    ],
)
def test_other_kinds_sizes_and_exponents_are_refused(key: object, said: str) -> None:
    """Rule 205: Baseline Requirements 6.1.5, 6.1.6; ours: one exponent."""
    kinds = KEY_KINDS - {"rsa-2048"}
    assert said in "; ".join(find_key_faults(key, kinds, NONE))


@pytest.mark.parametrize("factor", [3, 5, 743, 751])
def test_a_small_factor_is_found(factor: int) -> None:
    """Rule 222: Baseline Requirements 6.1.6. OpenSSL reads no key with an even modulus."""
    modulus = rough_below(2**2048 // factor) * factor
    assert "factor below 752" in faults(rsa_public(modulus))
    assert "factor below 752" not in faults(rsa_public(modulus // factor))


def test_close_primes_are_found() -> None:
    """Rule 222: Baseline Requirements 6.1.1.3: Fermat's way, in 100 rounds."""
    one = rough_below(HALF)
    for other in (one, rough_below(one), rough_below(one - 2**400)):
        assert "too close" in faults(rsa_public(one * other))
    assert "too close" not in faults(rsa_public(one * GOOD_FACTORS[1]))


@given(st.integers(500, 100_000), st.integers(500, 100_000), st.integers(1, 120))
def test_fermat_finds_what_needs_no_more_than_its_rounds(a: int, b: int, rounds: int) -> None:
    """It needs one for each number from the root of the product up to half the factors' sum."""
    one, other = 2 * a + 1, 2 * b + 1
    ceiling = isqrt(one * other - 1) + 1
    needed = (one + other) // 2 - ceiling + 1
    if needed <= rounds:
        assert has_close_primes(one * other, rounds)
    found = next((k for k in range(rounds) if _is_square((ceiling + k) ** 2 - one * other)), None)
    assert has_close_primes(one * other, rounds) == (found is not None)


def _is_square(number: int) -> bool:
    return isqrt(number) ** 2 == number


def test_roca_keys_are_found() -> None:
    """Rule 222: CVE-2017-15361: in both factors, and so in the modulus."""
    weak = roca_factor(1024, 4711) * roca_factor(1024, 815)
    assert is_roca(weak)
    assert "ROCA" in faults(rsa_public(weak))
    assert not is_roca(weak + 2)
    # One factor of that kind is not that library's key, and the other one hides it.
    assert not is_roca(roca_factor(1024, 4711) * GOOD_FACTORS[0])


@settings(max_examples=20)
@given(st.integers(2**2047, 2**2048 - 1))
def test_a_modulus_by_chance_is_no_roca_key(modulus: int) -> None:
    assert not is_roca(modulus)


@pytest.mark.parametrize("key", [SUBJECT_KEY, rsa_key().public_key()])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("accounts", "that of an account"),
        ("authorities", "the authority's own"),
        ("compromised", "known to be compromised"),
    ],
)
def test_a_key_that_somebody_has_or_lost_is_refused(key: SubjectKey, kind: str, said: str) -> None:
    """Rule 223: RFC 8555 §11.1; Baseline Requirements 6.1.1.3 (4)."""
    refused = RefusedKeys(**{kind: {digest_spki(key)}})
    assert said in faults(key, refused)
    others = RefusedKeys(**{kind: {digest_spki(key)[::-1]}})
    assert faults(key, others) == ""


def test_a_weak_key_of_debian_is_refused() -> None:
    key = rsa_key().public_key()
    debian = DigestList(digest_debian(key), DEBIAN_DIGEST_OCTETS)
    assert "Debian" in faults(key, RefusedKeys(debian=debian))
    assert faults(SUBJECT_KEY, RefusedKeys(debian=debian)) == ""


def test_a_key_is_known_however_it_is_written() -> None:
    """A point may be compressed; it is the same key."""
    point = SUBJECT_KEY.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    plain = encode_spki(SUBJECT_KEY)
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    again = load_der_public_key(head + point)
    assert isinstance(again, ec.EllipticCurvePublicKey)
    assert encode_spki(again) == plain
    assert find_key_kind(again) == "ec-p256"


@settings(max_examples=30)
@given(st.sets(st.binary(min_size=10, max_size=10), max_size=40), st.binary(max_size=12))
def test_a_list_has_what_was_written_into_it(digests: set[bytes], other: bytes) -> None:
    text = "# a comment\n\n" + "".join(f"{each.hex().upper()}  # {each!r}\n" for each in digests)
    found = parse_digest_list(text.replace("\\n", ""), DEBIAN_DIGEST_OCTETS)
    assert len(found) == len(digests)
    assert all(each in found for each in digests)
    assert (other in found) == (other in digests)
    assert "text" not in found


@pytest.mark.parametrize("line", ["00", "zz" * 32, "00" * 33, "0" * 63, "00 " * 32])
def test_a_line_that_is_no_digest_is_told_by_its_number(line: str) -> None:
    with pytest.raises(KeyListError, match="line 2: not a digest of 64"):
        parse_digest_list("00" * 32 + "\n" + line, SPKI_DIGEST_OCTETS)
