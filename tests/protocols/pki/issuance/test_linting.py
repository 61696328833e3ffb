"""Linting: good certificates pass, each planted fault is found, and shapes hide none."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from pkilint import loader, pkix, validation  # type: ignore[import-untyped]
from pkilint.cabf import cabf_crl  # type: ignore[import-untyped]
from pkilint.pkix import crl, extension, name  # type: ignore[import-untyped]

from letterlock.base.domains import Domain
from letterlock.protocols.pki.der import split_elements, wrap_element
from letterlock.protocols.pki.issuance import linting
from letterlock.protocols.pki.issuance.certificates import (
    AuthorityName,
    ServerSubject,
    draft_intermediate,
    draft_server_certificate,
)
from letterlock.protocols.pki.issuance.issuers import Places, make_issuer
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.linting import (
    EXCUSED,
    PRIVATE,
    CertificateKind,
    Linter,
)
from letterlock.protocols.pki.issuance.profiles import NameRules, Profile, find_name_faults
from letterlock.protocols.pki.issuance.revocation_lists import (
    CrlPeriod,
    Reason,
    Revoked,
    draft_shard,
)
from letterlock.protocols.pki.issuance.shapes import SPECIAL_TOPS, find_shape
from letterlock.protocols.pki.throwaway_ca import make_name
from tests.fakes import START
from tests.protocols.pki.issuance.authority import (
    EC_KEY,
    ISSUER,
    OPEN,
    PLACES,
    ROOT,
    SUBJECT_KEY,
    der_of,
    draft_for,
    names_of,
    new_intermediate,
    rsa_key,
    serial,
)

SERVER = CertificateKind.SERVER
LINTER = Linter()
DAY = timedelta(days=1)


def lint(der: bytes, kind: CertificateKind = SERVER, linter: Linter = LINTER) -> LintRecord:
    return linter.lint(der, kind)


@pytest.mark.parametrize("key", [SUBJECT_KEY, rsa_key().public_key()])
@pytest.mark.parametrize("days", [6, 90, 200])
def test_what_we_issue_passes_without_an_excuse(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, days: int
) -> None:
    """Rule 221: Baseline Requirements 4.3.1.2: linted before it is signed."""
    profile = Profile("x", days * DAY)
    record = lint(draft_for(["mx.example.com", "*.example.org", "8.8.8.8"], profile, key=key).der)
    assert (record.faults, record.excused) == ((), ())
    assert record.linter.startswith("pkilint ")


def test_a_root_and_an_authority_pass() -> None:
    assert lint(der_of(ROOT.certificate), CertificateKind.ROOT).faults == ()
    draft = draft_intermediate(ROOT, new_intermediate(), OPEN)
    assert lint(draft.der, CertificateKind.AUTHORITY).faults == ()


def test_what_is_wrong_for_a_private_network_only_is_excused_with_its_reason() -> None:
    """A network of one's own has names of its own; each excuse is needed, and says why."""
    private = Linter(PRIVATE)
    issuer = make_issuer(ISSUER.certificate, ISSUER.signer, Places(PLACES.crls))
    policy = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
    profile = Profile("x", has_common_name=True, policy=policy)
    draft = draft_for(["mx.corp", "10.0.0.1"], profile, issuer=issuer)
    record = lint(draft.der, linter=private)
    assert record.faults == ()
    below = replace(new_intermediate(), name=AuthorityName("Corp"))
    rules = NameRules(permitted_domains=(Domain("corp"),))
    root = make_issuer(ROOT.certificate, ROOT.signer, Places("http://ca.example.net/roots/"))
    authority = private.lint(
        draft_intermediate(root, below, rules).der, CertificateKind.CONSTRAINED_AUTHORITY
    )
    assert authority.faults == ()
    used = {line.partition(": ")[0] for line in record.excused + authority.excused}
    assert used == PRIVATE.keys()
    assert len(lint(draft.der).faults) == 4
    assert set(EXCUSED) < set(PRIVATE)


def changed(change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder]) -> bytes:
    """Make a certificate as ours are, but with a builder that was changed at the end."""
    good = x509.load_der_x509_certificate(draft_for(["mx.example.com"]).der)
    builder = x509.CertificateBuilder(
        good.issuer,
        good.subject,
        SUBJECT_KEY,
        good.serial_number,
        good.not_valid_before_utc,
        good.not_valid_after_utc,
        list(good.extensions),
    )
    return change(builder).sign(EC_KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def without(
    oid: x509.ObjectIdentifier, *put: tuple[x509.ExtensionType, bool]
) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._extensions = [each for each in builder._extensions if each.oid != oid]
        for value, critical in put:
            builder = builder.add_extension(value, critical)
        return builder

    return change


def with_serial(number: int) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._serial_number = number
        return builder

    return change


def with_subject(
    name: x509.Name,
) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._subject_name = name
        return builder

    return change


def without_end(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    assert builder._not_valid_after is not None
    builder._not_valid_after += 500 * DAY
    return builder


def with_names(*texts: str) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    names = x509.SubjectAlternativeName([x509.DNSName(text) for text in texts])
    return without(x509.SubjectAlternativeName.oid, (names, True))


SAN = x509.SubjectAlternativeName([x509.DNSName("mx.example.com")])
FAULTS = {
    "names not critical": without(SAN.oid, (SAN, False)),
    "no names": without(SAN.oid),
    "no uses": without(x509.ExtendedKeyUsage.oid),
    "no key usage": without(x509.KeyUsage.oid),
    "no policies": without(x509.CertificatePolicies.oid),
    "no CRL": without(x509.CRLDistributionPoints.oid),
    "no key identifier": without(x509.AuthorityKeyIdentifier.oid),
    "an authority": without(
        x509.BasicConstraints.oid, (x509.BasicConstraints(ca=True, path_length=None), True)
    ),
    "too long": without_end,
    "an underscore": with_names("_mx.example.com"),
    "no A-label": with_names("xn--zz.example.com"),
    "a wildcard inside": with_names("mx.*.example.com"),
    "an internal name": with_names("mx.example.com", "mx.corp"),
    "a name with a dot behind": with_names("mx.example.com."),
    "a short serial number": with_serial(1),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_planted_fault_is_found_though_a_good_one_was_remembered(what: str) -> None:
    """Rule 221: whatever is wrong is in the shape, and so linted."""
    good = changed(lambda builder: builder)
    linter = Linter()
    assert lint(good, linter=linter).faults == ()
    assert lint(good, linter=linter).is_remembered
    record = lint(changed(FAULTS[what]), linter=linter)
    assert not record.is_remembered
    # A serial number's size is no matter for pkilint beyond RFC 5280; ours is judged in `issuers`.
    assert bool(record.faults) == (what != "a short serial number")
    assert all(line.isprintable() for line in record.faults)


def test_a_fault_is_never_remembered() -> None:
    linter = Linter()
    der = changed(FAULTS["an internal name"])
    for _ in range(2):
        record = lint(der, linter=linter)
        assert not record.is_remembered
        assert "internal_domain_name" in record.faults[0]


def test_shapes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linting, "MAX_SHAPES", 2)
    linter = Linter()
    ders = [draft_for([f"{n}.example.com", f"a.b{n}.com"]).der for n in range(2)]
    kinds = [draft_for([name]).der for name in ("a.de", "a.fr", "a.nl")]
    assert [lint(der, linter=linter).is_remembered for der in ders] == [False, True]
    assert [lint(der, linter=linter).is_remembered for der in (*kinds, kinds[2])] == [
        *(False, False, False),
        True,
    ]
    assert not lint(ders[0], linter=linter).is_remembered


def test_a_linter_that_fails_lets_nothing_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 221: ours: failure is never permission."""
    (fault,) = lint(b"\x30\x03\x02\x01\x01").faults
    assert fault.startswith("the linter failed: ")
    (fault,) = lint(draft_for(["mx.example.com"]).der[:-1]).faults
    assert fault.startswith("the linter failed: ")

    def fail(*_: object) -> None:
        raise RuntimeError("a\nb\x00")

    monkeypatch.setattr(loader, "load_der_certificate", fail)
    (fault,) = lint(draft_for(["mx.example.com"]).der, linter=Linter()).faults
    assert fault == "the linter failed: RuntimeError: a b?"


ORDINARY = [
    "a.example.com",
    "b.a.example.com",
    "mx1.example.org",
    "x-y.example.net",
    "a.example.de",
]
ODD = [
    "*.example.com",
    "*.a.example.com",
    "*.co.uk",
    "a.za",
    "a.b.co.za",
    "*.b.corp",
    "xn--bcher-kva.com",
    "xn--zz.com",
    "192.0.2.1",
    "8.8.8.8",
    "mx.corp",
]
orders = st.lists(st.sampled_from(ORDINARY + ODD + ["mx.internal"]), min_size=1, unique=True)
profiles = st.builds(
    Profile,
    st.just("x"),
    st.integers(6, 200).map(lambda days: days * DAY),
    st.integers(0, 24).map(lambda hours: timedelta(hours=hours)),
    has_common_name=st.booleans(),
    has_client_auth=st.booleans(),
)
REMEMBERS = Linter()


@settings(max_examples=25)
@given(orders, profiles, st.integers(0, 2**32), st.integers(0, 10**7), st.booleans())
def test_what_a_shape_says_is_what_pkilint_says_of_the_certificate_itself(
    order: list[str], profile: Profile, seed: int, later: int, is_rsa: bool
) -> None:
    """Decision 8: each certificate is linted in full beside it."""
    names = names_of(*order)
    if find_name_faults(names, profile):
        return
    key = rsa_key().public_key() if is_rsa else SUBJECT_KEY
    subject = ServerSubject(names, key)
    moment = START + timedelta(seconds=later)
    der = draft_server_certificate(ISSUER, profile, subject, serial(seed), moment).der
    record = REMEMBERS.lint(der, SERVER)
    assert (record.faults, record.excused) == REMEMBERS._lint(der, SERVER)
    assert record.shape is not None


@pytest.mark.proof
@settings(max_examples=1000, deadline=None)
@given(orders, profiles, st.integers(0, 2**32), st.integers(0, 10**8), st.booleans())
def test_shapes_hold_over_many_orders_and_days(
    order: list[str], profile: Profile, seed: int, later: int, is_rsa: bool
) -> None:
    """The same, through the days on which the Baseline Requirements shorten validity."""
    inner = test_what_a_shape_says_is_what_pkilint_says_of_the_certificate_itself.hypothesis  # type: ignore[attr-defined]
    inner.inner_test(order, profile, seed, later, is_rsa)


def test_only_what_every_certificate_has_of_its_own_leaves_the_shape_alone() -> None:
    first = find_shape(draft_for(["mx.example.com"], seed=3).der)
    other_key = ec.derive_private_key(99, ec.SECP256R1()).public_key()
    shard = [seed for seed in range(200) if serial(seed) >> 128 == serial(3) >> 128]
    wildcard = find_shape(draft_for(["*.example.com"], seed=3).der)
    assert find_shape(draft_for(["*.b.com", "*.c.b.com"], seed=shard[1]).der) == wildcard
    for names, key in ((["a.b.c.com"], SUBJECT_KEY), (["mx.example.com", "x.com"], other_key)):
        assert find_shape(draft_for(names, key=key, seed=shard[1]).der) == first
    p384 = ec.derive_private_key(99, ec.SECP384R1()).public_key()
    changes = [
        draft_for(["mx.example.com"], key=p384),
        draft_for(["mx.example.com"], key=rsa_key().public_key()),
        draft_for(["mx.example.org"]),
        draft_for(["*.example.com"]),
        draft_for(["mx.example.co.za"]),
        draft_for(["mx.example.za"]),
        draft_for(["*.example.com", "mx.example.com"]),
        draft_for(["mx.example.com", "8.8.8.8"]),
        draft_for(["mx.example.com"], Profile("x", 91 * DAY)),
        draft_for(["mx.example.com"], Profile("x", backdated=DAY)),
        draft_for(["mx.example.com"], Profile("x", has_common_name=True)),
        draft_for(["mx.example.com"], Profile("x", has_client_auth=True)),
        draft_for(["mx.example.com"], seed=next(n for n in range(99) if n not in shard)),
    ]
    shapes = {find_shape(draft.der) for draft in changes}
    assert len(shapes | {first}) == len(changes) + 1
    assert None not in shapes


@pytest.mark.parametrize(
    ("first", "second"), [(["mx.example.com"], ["mx.example.com", "mx.example.com"])]
)
def test_a_name_twice_is_another_shape(first: list[str], second: list[str]) -> None:
    assert find_shape(changed(with_names(*first))) != find_shape(changed(with_names(*second)))


def test_only_a_wildcard_with_two_labels_is_ordinary() -> None:
    shapes = {find_shape(changed(with_names(name))) for name in ("*.com", "*.a.com", "a.*.com")}
    assert len(shapes) == 3
    assert find_shape(changed(with_names("*.b.com"))) in shapes


def test_a_top_level_domain_says_if_a_name_is_internal_but_where_we_know() -> None:
    """Decision 8: what the installed Public Suffix List has no rule for must stand in the shape."""
    path = files("publicsuffixlist") / "public_suffix_list.dat"
    lines = path.read_text(encoding="utf-8").splitlines()
    rules = {line.strip().lstrip("!") for line in lines if not line.startswith("//")} - {""}
    tops = {rule.rpartition(".")[2] for rule in rules}
    deeper = {top for top in tops if not {top, f"*.{top}"} & rules}
    assert {top.encode("idna") for top in deeper} <= SPECIAL_TOPS


def test_after_2050_times_are_written_in_another_way() -> None:
    """RFC 5280 §4.1.2.5: the shape then has both as they are."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._not_valid_after = START.replace(year=2051, tzinfo=None)
        return builder

    assert find_shape(changed(change)) not in (None, find_shape(changed(lambda b: b)))


@pytest.mark.parametrize(
    "subject",
    [
        [[("CN", "mx.example.com"), ("O", "x")]],
        [[("CN", "mx.example.com")], [("O", "x")]],
        [[("O", "mx.example.com")]],
        [[("CN", "other.example.com")]],
    ],
)
def test_a_subject_that_is_not_one_of_the_names_is_in_the_shape(
    subject: list[list[tuple[str, str]]],
) -> None:
    oids = {"CN": x509.NameOID.COMMON_NAME, "O": x509.NameOID.ORGANIZATION_NAME}
    name = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(oids[kind], text) for kind, text in each]
            )
            for each in subject
        ]
    )

    one, usual = changed(with_subject(name)), changed(with_subject(make_name("mx.example.com")))
    assert find_shape(one) not in (None, find_shape(usual))
    assert lint(one).faults


def test_what_is_not_built_as_ours_has_no_shape() -> None:
    """Nor what is not DER to the last octet: a linter is to look at it."""
    der = draft_for(["mx.example.com"]).der
    ((_, content),) = split_elements(der, limit=2)
    tbs, algorithm, signature = (whole for whole, _ in split_elements(content, limit=3))
    name = b"\x82\x0emx.example.com"
    assert name in der
    broken = [
        b"",
        b"\x30\x00",
        der[: len(der) // 2],
        ROOT.signer.sign(b""),
        der + b"\x05\x00",
        wrap_element(0x30, tbs + algorithm + signature + signature),
        b"\x30\x83\x00" + der[2:],
        # A year that is none; lengths in more octets than they need.
        der.replace(b"260301", b"26x301"),
        der.replace(name, b"\x82\x81\x0emx.example.c"),
        # Version 1, which has no extensions; names without a value.
        der.replace(b"\xa0\x03\x02\x01\x02", b"\x02\x03\x02\x01\x02"),
        der.replace(b"\x55\x1d\x11\x01\x01\xff\x04", b"\x55\x1d\x11\x01\x01\xff\x05"),
    ]
    assert [find_shape(each) for each in broken] == [None] * len(broken)


def test_an_extension_that_differs_in_its_last_octet_is_another_shape() -> None:
    der = draft_for(["mx.example.com"]).der
    for text in (b".crl", b"issuer.der", bytes.fromhex("67810c010201")):
        assert text in der
        changed_text = text[:-1] + bytes([text[-1] ^ 1])
        assert find_shape(der.replace(text, changed_text)) not in (None, find_shape(der))


def test_a_number_in_another_form_is_another_shape() -> None:
    """A modulus that is a NULL or negative; a serial number with a zero in front."""
    der = draft_for(["a.com"], key=rsa_key().public_key()).der
    modulus = b"\x02\x82\x01\x01\x00"
    number = wrap_element(0x02, serial(3).to_bytes(17))
    others = [
        der.replace(modulus, b"\x05" + modulus[1:]),
        der.replace(modulus, modulus[:4] + b"\xff"),
        der.replace(number, b"\x02\x11\x00" + number[3:]),
        # Another exponent, and names that are not critical.
        der.replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x03"),
        der.replace(b"\x55\x1d\x11\x01\x01\xff", b"\x55\x1d\x11\x01\x01\x00"),
    ]
    shapes = [find_shape(each) for each in (der, *others)]
    assert None not in shapes
    assert len(set(shapes)) == len(shapes)


def test_our_crls_pass_pkilint_too() -> None:
    """Baseline Requirements 7.2; made by tools that share nothing."""
    validity = cabf_crl.create_validity_period_validator(crl.CertificateRevocationListType.CRL)
    validator = crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([validity]),
            crl.create_extensions_validator_container([]),
            cabf_crl.CabfCrlReasonCodeAllowlistValidator(crl.CertificateRevocationListType.CRL),
        ],
    )
    numbers = [number for seed in range(300) if (number := serial(seed)) >> 128 == 3]
    revoked = [
        Revoked(number, START, START, reason, START - DAY)
        for number, reason in zip(numbers, Reason, strict=False)
    ]
    assert len(revoked) == len(Reason)
    for entries in ([], revoked):
        draft = draft_shard(ISSUER, 3, entries, CrlPeriod(1, START, START + 7 * DAY))
        found = validator.validate(loader.load_der_crl(draft.der, "draft").root)
        weighty = [
            each.finding.code
            for result in found
            for each in result.finding_descriptions
            if each.finding.severity <= validation.ValidationFindingSeverity.WARNING
        ]
        assert weighty == []
