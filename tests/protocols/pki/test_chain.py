"""Chains good and bad: RFC 5280 §6, RFC 9325 §4.5, and the words of RFC 8460 §4.3."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from ssl import DER_cert_to_PEM_cert
from time import process_time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.pki.anchors import AnchorsError, TrustAnchors
from letterlock.protocols.pki.certificate import MAX_CERTIFICATE_OCTETS
from letterlock.protocols.pki.chain import MAX_CHAIN_CERTIFICATES, ChainJudgement, judge_chain
from letterlock.protocols.pki.throwaway_ca import (
    CLIENT_AUTH,
    GOOD_CA,
    SERVER_AUTH,
    Issued,
    Shape,
    ThrowawayCa,
    make_key,
    make_name,
    self_signed,
)
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fakes import START
from tests.protocols.pki.forge import sign_with_sha1

NAMES = ["mx.example.com"]
ROOT = ThrowawayCa("Root", START)
MIDDLE = ROOT.intermediate("Middle", now=START)
STRANGER = ThrowawayCa("Stranger", START)
STRANGER_MIDDLE = STRANGER.intermediate("Strange middle", now=START)
ANCHORS = TrustAnchors.from_pem(ROOT.pem)
GOOD = MIDDLE.issue(NAMES, now=START)
DAY = timedelta(days=1)
NOT_TRUSTED = ResultType.CERTIFICATE_NOT_TRUSTED
EXPIRED = ResultType.CERTIFICATE_EXPIRED
PUBLIC_SHAPE = Shape(
    extensions=[
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(
                    AuthorityInformationAccessOID.CA_ISSUERS,
                    x509.UniformResourceIdentifier("http://ca.example/middle.der"),
                )
            ]
        )
    ]
)
LEAF_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
NO_TLS_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
CERT_SIGN_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def judge(chain: Sequence[bytes], anchors: TrustAnchors = ANCHORS) -> ChainJudgement:
    return judge_chain(chain, anchors, START)


def faults(judgement: ChainJudgement) -> list[tuple[str, int | None]]:
    return [(found.reason_code, found.depth) for found in judgement.findings]


def below(shape: Shape) -> tuple[bytes, ...]:
    """Give the chain of a good leaf below an intermediate of that shape."""
    return ROOT.intermediate("Odd", now=START, shape=shape).issue(NAMES, now=START).chain_der


def two_levels(upper: Shape, lower: Shape = GOOD_CA) -> tuple[bytes, ...]:
    top = ROOT.intermediate("Upper", now=START, shape=upper)
    return top.intermediate("Lower", now=START, shape=lower).issue(NAMES, now=START).chain_der


def out_of_order() -> tuple[bytes, ...]:
    leaf, lower, upper = two_levels(GOOD_CA)
    return leaf, upper, lower


def leaf_as_ca() -> tuple[bytes, ...]:
    not_a_ca = ROOT.intermediate("Leaf", now=START, shape=Shape(key_usage=LEAF_USAGE))
    return not_a_ca.issue(NAMES, now=START).chain_der


def key_usage_stands_for_ca() -> tuple[bytes, ...]:
    odd = ROOT.intermediate("Odd", now=START, shape=Shape(key_usage=CERT_SIGN_USAGE, eku=None))
    return odd.issue(NAMES, now=START).chain_der


def constrained(*permitted: str) -> Shape:
    trees = [x509.DNSName(name) for name in permitted]
    return Shape(eku=None, is_ca=True, name_constraints=x509.NameConstraints(trees, None))


def excluding(*names: str) -> Shape:
    trees = [x509.DNSName(name) for name in names]
    return Shape(eku=None, is_ca=True, name_constraints=x509.NameConstraints(None, trees))


def sha1_leaf() -> tuple[bytes, ...]:
    rsa_root = ROOT.intermediate("RSA", now=START, key="rsa")
    key = rsa_root.issued.key
    assert isinstance(key, rsa.RSAPrivateKey)
    leaf = rsa_root.issue(NAMES, now=START)
    return (sign_with_sha1(leaf.certificate, key), *leaf.chain_der[1:])


def broken_signature() -> tuple[bytes, ...]:
    # The last octet of an ECDSA signature.
    der = GOOD.der
    return (der[:-1] + bytes([der[-1] ^ 1]), *GOOD.chain_der[1:])


def same_name_other_key() -> tuple[bytes, ...]:
    """Give a leaf of an authority that only has the name of ours: no key identifiers to tell."""
    imposter = ThrowawayCa("Root", START)
    return imposter.issue(NAMES, now=START).chain_der


def without_san_but_common_name() -> tuple[bytes, ...]:
    return ROOT.issue([], now=START, shape=Shape(subject=make_name("mx.example.com"))).chain_der


TRUSTED: dict[str, Callable[[], Sequence[bytes]]] = {
    "leaf and intermediate": lambda: GOOD.chain_der,
    "below the root itself": lambda: ROOT.issue(NAMES, now=START).chain_der,
    "root sent as well": lambda: (*GOOD.chain_der, ROOT.der),
    "three levels": lambda: two_levels(GOOD_CA),
    "wrong order": out_of_order,
    "unrelated certificates between": lambda: (
        GOOD.der,
        STRANGER.der,
        STRANGER_MIDDLE.der,
        MIDDLE.der,
    ),
    "unreadable and too many certificates after it": lambda: (
        *GOOD.chain_der,
        b"junk",
        *[STRANGER.der] * MAX_CHAIN_CERTIFICATES,
    ),
    "RSA 2048": lambda: MIDDLE.issue(NAMES, now=START, key="rsa").chain_der,
    "Ed25519": lambda: MIDDLE.issue(NAMES, now=START, key="ed25519").chain_der,
    "no extended key usage": lambda: (
        MIDDLE.issue(NAMES, now=START, shape=Shape(eku=None)).chain_der
    ),
    "both extended key usages": lambda: (
        MIDDLE.issue(NAMES, now=START, shape=Shape(eku=(CLIENT_AUTH, SERVER_AUTH))).chain_der
    ),
    "a leaf that is an authority as well": lambda: (
        MIDDLE.issue(NAMES, now=START, shape=Shape(is_ca=True, key_usage=CERT_SIGN_USAGE)).chain_der
    ),
    "an intermediate for servers": lambda: below(Shape(is_ca=True)),
    "path length kept": lambda: below(Shape(eku=None, is_ca=True, path_length=0)),
    "name constraints kept": lambda: below(constrained("example.com")),
    "no name at all": without_san_but_common_name,
}


@pytest.mark.parametrize("case", TRUSTED)
def test_a_good_chain_is_trusted(case: str) -> None:
    """RFC 5280 §6; names are not compared here."""
    judgement = judge(TRUSTED[case]())
    assert judgement.findings == ()
    assert judgement.is_trusted
    assert judgement.path[-1] == ROOT.der


FAULTS: list[
    tuple[str, Callable[[], Sequence[bytes]], ResultType, list[tuple[str, int | None]]]
] = [
    (
        "expired",
        lambda: MIDDLE.issue(NAMES, now=START, days=-1).chain_der,
        EXPIRED,
        [("expired", 0)],
    ),
    (
        "not yet valid",
        lambda: MIDDLE.issue(NAMES, now=START, shape=Shape(not_before=START + DAY)).chain_der,
        NOT_TRUSTED,
        [("not-yet-valid", 0)],
    ),
    (
        "intermediate expired",
        lambda: below(Shape(eku=None, is_ca=True, not_after=START - DAY)),
        EXPIRED,
        [("expired", 1)],
    ),
    (
        "leaf and intermediate expired",
        lambda: (
            ROOT.intermediate("Old", now=START, shape=Shape(is_ca=True, not_after=START - DAY))
            .issue(NAMES, now=START, days=-2)
            .chain_der
        ),
        EXPIRED,
        [("expired", 0), ("expired", 1)],
    ),
    (
        "self-signed",
        lambda: self_signed(NAMES, now=START).chain_der,
        NOT_TRUSTED,
        [("self-signed-certificate", 0)],
    ),
    (
        "unknown root, sent",
        lambda: (*STRANGER_MIDDLE.issue(NAMES, now=START).chain_der, STRANGER.der),
        NOT_TRUSTED,
        [("self-signed-certificate-in-chain", 2)],
    ),
    (
        "unknown root, not sent",
        lambda: STRANGER_MIDDLE.issue(NAMES, now=START).chain_der,
        NOT_TRUSTED,
        [("unknown-issuer", 1)],
    ),
    (
        "unknown issuer, leaf alone",
        lambda: STRANGER.issue(NAMES, now=START).chain_der,
        NOT_TRUSTED,
        [("unknown-issuer", 0)],
    ),
    (
        "missing intermediate",
        lambda: (MIDDLE.issue(NAMES, now=START, shape=PUBLIC_SHAPE).der,),
        NOT_TRUSTED,
        [("missing-intermediate", 0)],
    ),
    (
        "client certificate",
        lambda: MIDDLE.issue(NAMES, now=START, shape=Shape(eku=(CLIENT_AUTH,))).chain_der,
        NOT_TRUSTED,
        [("unsuitable-purpose", 0)],
    ),
    (
        "any extended key usage",
        lambda: (
            MIDDLE.issue(
                NAMES, now=START, shape=Shape(eku=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))
            ).chain_der
        ),
        NOT_TRUSTED,
        [("unsuitable-purpose", 0)],
    ),
    (
        "intermediate for clients only",
        lambda: below(Shape(eku=(CLIENT_AUTH,), is_ca=True)),
        NOT_TRUSTED,
        [("unsuitable-purpose", 1)],
    ),
    (
        "key usage without TLS",
        lambda: MIDDLE.issue(NAMES, now=START, shape=Shape(key_usage=NO_TLS_USAGE)).chain_der,
        NOT_TRUSTED,
        [("unsuitable-purpose", 0)],
    ),
    ("leaf used as CA", leaf_as_ca, NOT_TRUSTED, [("invalid-ca", 1)]),
    ("no CA but key usage", key_usage_stands_for_ca, NOT_TRUSTED, [("invalid-ca", 1)]),
    (
        "path length exceeded",
        lambda: two_levels(Shape(eku=None, is_ca=True, path_length=0)),
        NOT_TRUSTED,
        [("path-length-exceeded", 2)],
    ),
    (
        "outside name constraints",
        lambda: below(constrained("example.org")),
        NOT_TRUSTED,
        [("name-constraint-violated", 0)],
    ),
    (
        "name excluded",
        lambda: below(excluding("example.com")),
        NOT_TRUSTED,
        [("name-constraint-violated", 0)],
    ),
    (
        "weak key",
        lambda: MIDDLE.issue(NAMES, now=START, key="rsa-1024").chain_der,
        NOT_TRUSTED,
        [("weak-key", 0)],
    ),
    (
        "weak intermediate",
        lambda: (
            ROOT.intermediate("Weak", now=START, key="rsa-1024").issue(NAMES, now=START).chain_der
        ),
        NOT_TRUSTED,
        [("weak-key", 1)],
    ),
    ("signed with SHA-1", sha1_leaf, NOT_TRUSTED, [("weak-signature", 0)]),
    ("broken signature", broken_signature, NOT_TRUSTED, [("signature-failure", 0)]),
    ("issuer of the same name", same_name_other_key, NOT_TRUSTED, [("unknown-issuer", 0)]),
    ("nothing", tuple, NOT_TRUSTED, [("no-certificate", None)]),
    ("junk", lambda: (b"junk",), NOT_TRUSTED, [("unreadable-certificate", 0)]),
    (
        "a leaf too large",
        lambda: (b"0" * (MAX_CERTIFICATE_OCTETS + 1), *GOOD.chain_der),
        NOT_TRUSTED,
        [("unreadable-certificate", 0)],
    ),
    (
        "junk for the intermediate",
        lambda: (GOOD.der, b"junk"),
        NOT_TRUSTED,
        [("unknown-issuer", 0), ("unreadable-certificate", 1)],
    ),
    (
        "the intermediate behind too many others",
        lambda: (GOOD.der, *[STRANGER.der] * MAX_CHAIN_CERTIFICATES, MIDDLE.der),
        NOT_TRUSTED,
        [("unknown-issuer", 0), ("chain-too-long", None)],
    ),
]


@pytest.mark.parametrize(
    ("chain", "result", "expected"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_a_fault_has_its_result_type_and_reason_code(
    chain: Callable[[], Sequence[bytes]],
    result: ResultType,
    expected: list[tuple[str, int | None]],
) -> None:
    """RFC 8460 §4.3.1; rules 95 and 102."""
    judgement = judge(chain())
    assert not judgement.is_trusted
    assert faults(judgement) == expected
    assert judgement.findings[0].result_type is result


def test_every_fault_is_found_and_the_heaviest_stands_first() -> None:
    """Not trusted before expired: see the comment at the ranks."""
    weak = STRANGER.intermediate(
        "Weak", now=START, key="rsa-1024", shape=Shape(is_ca=True, not_after=START - DAY)
    )
    issued = weak.issue(NAMES, now=START, days=-2, shape=Shape(eku=(CLIENT_AUTH,)))
    judgement = judge(issued.chain_der)
    assert faults(judgement) == [
        ("unknown-issuer", 1),
        ("unsuitable-purpose", 0),
        ("weak-key", 1),
        ("expired", 0),
        ("expired", 1),
    ]
    assert judgement.findings[0].result_type is NOT_TRUSTED
    assert judgement.findings[-1].result_type is EXPIRED


def test_what_comes_after_an_untrusted_root_is_found_too() -> None:
    top = STRANGER.intermediate("Top", now=START, shape=Shape(is_ca=True, path_length=0))
    lower = top.intermediate("Lower", now=START, shape=constrained("example.org"))
    chain = (*lower.issue(NAMES, now=START, days=-1).chain_der, STRANGER.der)
    assert faults(judge(chain)) == [
        ("self-signed-certificate-in-chain", 3),
        ("path-length-exceeded", 2),
        ("expired", 0),
    ]


def test_expired_and_beyond_its_constraints() -> None:
    odd = ROOT.intermediate("Odd", now=START, shape=constrained("example.org"))
    assert faults(judge(odd.issue(NAMES, now=START, days=-1).chain_der)) == [
        ("name-constraint-violated", 0),
        ("expired", 0),
    ]


def gmail_without_sni() -> Issued:
    """What Gmail shows a client that sends no server_name: one of its kind."""
    name = x509.Name(
        [
            x509.NameAttribute(
                NameOID.ORGANIZATIONAL_UNIT_NAME, "No SNI provided; please fix your client."
            ),
            x509.NameAttribute(NameOID.COMMON_NAME, "invalid2.invalid"),
        ]
    )
    shape = Shape(
        subject=name, is_ca=True, key_usage=CERT_SIGN_USAGE, eku=(SERVER_AUTH, CLIENT_AUTH)
    )
    return self_signed(["invalid2.invalid"], now=START, key="rsa", shape=shape)


def test_the_certificate_for_clients_without_sni_is_self_signed() -> None:
    judgement = judge(gmail_without_sni().chain_der)
    assert faults(judgement) == [("self-signed-certificate", 0)]
    assert judgement.leaf is not None
    assert judgement.leaf.names.dns == ("invalid2.invalid",)
    assert "No SNI provided" in judgement.findings[0].text
    assert "(OpenSSL 18)" in judgement.findings[0].text


def test_the_text_says_where_a_missing_intermediate_is() -> None:
    chain = (MIDDLE.issue(NAMES, now=START, shape=PUBLIC_SHAPE).der,)
    (found,) = judge(chain).findings
    assert "http://ca.example/middle.der" in found.text
    assert "CN=Middle" in found.text


def test_a_certificate_holds_from_its_first_to_its_last_second() -> None:
    """RFC 5280 §4.1.2.5: both ends are included."""
    leaf = GOOD.certificate
    for moment, expected in [
        (leaf.not_valid_before_utc - timedelta(seconds=1), ["not-yet-valid"]),
        (leaf.not_valid_before_utc, []),
        (leaf.not_valid_after_utc, []),
        (leaf.not_valid_after_utc + timedelta(seconds=1), ["expired"]),
    ]:
        judgement = judge_chain(GOOD.chain_der, ANCHORS, moment)
        codes = {found.reason_code for found in judgement.findings}
        assert codes == set(expected), moment


def test_the_time_of_one_judgement_does_not_stay_for_the_next() -> None:
    """A store of OpenSSL's keeps the first time it is given, whatever comes later."""
    brief = ThrowawayCa("Brief", START, shape=Shape(eku=None, is_ca=True, not_after=START + DAY))
    chain = brief.issue(NAMES, now=START).chain_der
    anchors = TrustAnchors.from_pem(brief.pem)
    for days, expected in [(0, []), (2, [("expired", 1)]), (0, []), (-2, [("not-yet-valid", 0)])]:
        judgement = judge_chain(chain, anchors, START + days * DAY)
        assert faults(judgement)[:1] == expected


def test_an_expired_root_of_the_system_is_expired() -> None:
    old = ThrowawayCa("Old", START, shape=Shape(eku=None, is_ca=True, not_after=START - DAY))
    chain = old.issue(NAMES, now=START).chain_der
    assert faults(judge(chain, TrustAnchors.from_pem(old.pem))) == [("expired", 1)]


# Postfix's tafile.


def test_in_a_tafile_an_anchors_own_dates_do_not_count() -> None:
    old = ThrowawayCa("Old", START, shape=Shape(eku=None, is_ca=True, not_after=START - DAY))
    anchors = TrustAnchors.from_pem(old.pem, is_tafile=True)
    assert judge(old.issue(NAMES, now=START).chain_der, anchors).is_trusted
    late = old.issue(NAMES, now=START, days=-1).chain_der
    assert faults(judge(late, anchors)) == [("expired", 0)]


@pytest.mark.parametrize("is_tafile", [True, False])
def test_an_intermediate_is_an_anchor_only_in_a_tafile(is_tafile: bool) -> None:
    anchors = TrustAnchors.from_pem(MIDDLE.pem, is_tafile=is_tafile)
    judgement = judge(GOOD.chain_der, anchors)
    assert judgement.is_trusted == is_tafile
    if not is_tafile:
        assert faults(judgement) == [("unknown-issuer", 1)]


def test_a_leaf_is_an_anchor_in_a_tafile_and_only_that_leaf() -> None:
    own = self_signed(NAMES, now=START, days=-5)
    anchors = TrustAnchors.from_pem(own.certificate_pem, is_tafile=True)
    assert judge(own.chain_der, anchors).is_trusted
    other = self_signed(NAMES, now=START)
    assert faults(judge(other.chain_der, anchors)) == [("self-signed-certificate", 0)]


def test_a_leaf_that_is_an_anchor_still_needs_a_good_key() -> None:
    """RFC 9325 §4.5: its key is what authenticates."""
    weak = self_signed(NAMES, now=START, key="rsa-1024")
    anchors = TrustAnchors.from_pem(weak.certificate_pem, is_tafile=True)
    assert faults(judge(weak.chain_der, anchors)) == [("weak-key", 0)]


def test_an_anchor_above_the_leaf_is_the_operators_choice() -> None:
    weak = ThrowawayCa("Weak", START, "rsa-1024")
    chain = (*weak.issue(NAMES, now=START).chain_der, weak.der)
    assert judge(chain, TrustAnchors.from_pem(weak.pem)).is_trusted


def test_an_anchor_that_cannot_be_read_is_still_an_anchor() -> None:
    """Roots with a serial number that is not positive are in use."""
    odd = ThrowawayCa("Odd", START, shape=Shape(eku=None, is_ca=True, serial=0x7ABCDEF012345678))
    der = odd.der.replace(bytes.fromhex("7abcdef012345678"), bytes.fromhex("8abcdef012345678"))
    anchors = TrustAnchors.from_pem(DER_cert_to_PEM_cert(der).encode())
    chain = odd.issue(NAMES, now=START).chain_der
    assert judge(chain, anchors).is_trusted
    late = judge_chain(chain, anchors, START + 10000 * DAY)
    assert faults(late) == [("expired", 0)]
    old = judge_chain(
        odd.issue(NAMES, now=START, days=20000).chain_der, anchors, START + 10000 * DAY
    )
    assert faults(old) == [("expired", 1)]


# Files of anchors.


def test_a_bundle_is_read_with_the_text_between() -> None:
    bundle = b"# Root\n" + ROOT.pem + b"\nStranger\n====\n" + STRANGER.pem.replace(b"\n", b"\r\n")
    anchors = TrustAnchors.from_pem(bundle)
    assert len(anchors.certificates) == 2
    assert judge(GOOD.chain_der, anchors).is_trusted
    assert judge(STRANGER.issue(NAMES, now=START).chain_der, anchors).is_trusted


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "no PEM certificate"),
        (b"nothing here", "no PEM certificate"),
        (ROOT.pem[:-30], "not closed"),
        (ROOT.pem + ROOT.pem[:-30], "not closed"),
        (GOOD.key_pem, "block 1 is a PRIVATE KEY"),
        (ROOT.pem.replace(b"MII", b"AAA"), "block 1 is not a certificate"),
        (ROOT.pem + ROOT.pem.replace(b"\n", b"\nA", 1), "block 2 is not a certificate"),
        (ROOT.pem.replace(b"MII", b"M\xff\xff"), "not closed"),
    ],
)
def test_a_bad_file_of_anchors_says_what_is_wrong(pem: bytes, reason: str) -> None:
    with pytest.raises(AnchorsError, match=reason):
        TrustAnchors.from_pem(pem)


# Hostile chains.


def test_what_openssl_refuses_is_unreadable_too() -> None:
    # The common name "R": its OID ends early, and the rest becomes an OCTET STRING.
    der = ThrowawayCa("R", START).issue(NAMES, now=START).der
    common_name = bytes.fromhex("06035504030c0152")
    assert common_name in der
    judgement = judge((der.replace(common_name, bytes.fromhex("06015504030c0152")),))
    assert faults(judgement) == [("unreadable-certificate", 0)]
    assert "OpenSSL" in judgement.findings[0].text


@given(st.lists(st.binary(max_size=200), max_size=12))
def test_no_octets_are_trusted(chain: list[bytes]) -> None:
    assert not judge(chain).is_trusted


@given(st.sampled_from([0, 1]), st.data())
def test_no_changed_octet_is_trusted_unless_the_path_is_the_same(
    which: int, data: st.DataObject
) -> None:
    """Whatever is changed in leaf or intermediate breaks a signature or the path."""
    der = GOOD.chain_der[which]
    at = data.draw(st.integers(0, len(der) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda value: value != der[at]))
    changed = der[:at] + bytes([octet]) + der[at + 1 :]
    chain = (changed, GOOD.chain_der[1]) if which == 0 else (GOOD.der, changed)
    assert not judge(chain).is_trusted


def test_a_loop_of_issuers_ends() -> None:
    key = make_key("ec")
    one = ThrowawayCa("One", START, key)
    two = one.intermediate("Two", now=START, key=key)
    back = two.intermediate("One", now=START, key=key)
    chain = (two.issue(NAMES, now=START).der, two.der, back.der, two.der, back.der)
    assert not judge(chain).is_trusted


def test_a_usual_chain_takes_less_than_two_milliseconds() -> None:
    judge(GOOD.chain_der)
    times = []
    for _ in range(20):
        begun = process_time()
        judge(GOOD.chain_der)
        times.append(process_time() - begun)
    assert min(times) < 0.002
