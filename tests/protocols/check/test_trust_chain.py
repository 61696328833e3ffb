"""Where a chain of trust breaks, and why: RFC 4035 §5."""

from dataclasses import replace
from hashlib import sha1

import pytest

from letterlock.protocols.check.chain_breaks import Break, Cause, find_fault
from letterlock.protocols.check.name_status import DnssecStatus
from letterlock.protocols.check.trust_chain import (
    Cut,
    break_zone,
    find_cut,
    judge_record,
    judge_root,
    judge_zone,
)
from letterlock.protocols.dns.chain_links import Denial, Link, Outcome, Proof, SignatureSeen
from letterlock.protocols.dns.denial import Nsec3, TypeBitmap, make_labels
from letterlock.protocols.dns.dnssec_records import DsRecord, KeyRecord, make_ds
from tests.protocols.check.chains import (
    DAY,
    EARLY,
    EXPIRED,
    KEY,
    KEYLESS,
    NOW,
    OTHER,
    PARENT,
    SIGNATURE,
    TRUSTED,
    UNKNOWN,
    WRONG,
    ZONE,
    denies,
    ds_link,
    failed,
    keys_link,
    link,
)

SECURE, INSECURE = DnssecStatus.SECURE, DnssecStatus.INSECURE
BOGUS, UNDECIDED = DnssecStatus.BOGUS, DnssecStatus.UNDECIDED
A, NS, SOA, RRSIG, DS = 1, 2, 6, 46, 43
NO_DS = link("DS", outcome=Outcome.NODATA)
OTHERS = replace(SIGNATURE, tag=OTHER.tag)


def endless(name: str) -> tuple[Denial, ...]:
    """Give an NSEC3 record that nobody follows."""
    record = Nsec3(make_labels(name), b"1", b"2", TypeBitmap(()), b"", 2000, is_opt_out=False)
    return (Denial(record, (SIGNATURE,)),)


@pytest.mark.parametrize(
    ("signatures", "cause", "text"),
    [
        ((), Cause.SIGNATURE_MISSING, "has no signature"),
        ((EXPIRED,), Cause.SIGNATURE_EXPIRED, "ended at 2026-02-28T12:00:00Z"),
        ((EARLY,), Cause.SIGNATURE_NOT_YET_VALID, "begins at 2026-03-01T12:00:00Z only"),
        ((WRONG,), Cause.SIGNATURE_WRONG, "does not fit"),
        ((KEYLESS,), Cause.SIGNATURE_WITHOUT_KEY, "by key 7 of example.org, which example.org"),
        ((UNKNOWN,), Cause.ALGORITHM_UNSUPPORTED, "algorithm 200"),
        ((replace(SIGNATURE, proof=Proof.NOT_TRIED),), Cause.SIGNATURE_WRONG, ""),
        # Of several faults the one that is the easiest to mend.
        ((UNKNOWN, KEYLESS, WRONG, EXPIRED), Cause.SIGNATURE_EXPIRED, ""),
        # A key of the zone below that the root's is said to be.
        ((replace(KEYLESS, zone="."),), Cause.SIGNATURE_WITHOUT_KEY, "of the root, which"),
    ],
)
def test_a_signature_that_is_not_good_is_told_by_its_fault(
    signatures: tuple[SignatureSeen, ...], cause: Cause, text: str
) -> None:
    """RFC 4035 §5.3.1"""
    fault = find_fault(ZONE, "MX of example.org", signatures, NOW)
    assert fault is not None
    assert fault.cause is cause
    assert text in fault.evidence
    assert "MX of example.org" in fault.evidence


def test_one_good_signature_is_enough() -> None:
    """RFC 4035 §5.3.3; and on the first and last second of its time it is good."""
    for signature in (
        SIGNATURE,
        replace(SIGNATURE, begins=NOW),
        replace(SIGNATURE, ends=NOW),
    ):
        assert find_fault(ZONE, "", (EXPIRED, WRONG, signature), NOW) is None


@pytest.mark.parametrize(
    ("ds", "keys", "status", "cause"),
    [
        (ds_link(KEY), keys_link(SIGNATURE), SECURE, None),
        (ds_link(OTHER, KEY), keys_link(SIGNATURE, EXPIRED), SECURE, None),
        (ds_link(OTHER), keys_link(SIGNATURE), BOGUS, Cause.DS_WITHOUT_KEY),
        (ds_link(KEY), keys_link(EXPIRED), BOGUS, Cause.SIGNATURE_EXPIRED),
        (ds_link(KEY), keys_link(EARLY), BOGUS, Cause.SIGNATURE_NOT_YET_VALID),
        (ds_link(KEY), keys_link(WRONG), BOGUS, Cause.SIGNATURE_WRONG),
        (ds_link(KEY), keys_link(), BOGUS, Cause.KEYS_NOT_SIGNED),
        (ds_link(KEY), keys_link(OTHERS, keys=(KEY, OTHER)), BOGUS, Cause.KEYS_NOT_SIGNED),
        # Who may sign keys is said by the DS record, and not by the keys.
        (
            ds_link(KEY),
            keys_link(EXPIRED, OTHERS, keys=(KEY, OTHER)),
            BOGUS,
            Cause.SIGNATURE_EXPIRED,
        ),
        (ds_link(KEY), keys_link(keys=()), BOGUS, Cause.KEYS_MISSING),
        (ds_link(KEY), failed("DNSKEY"), UNDECIDED, Cause.NO_ANSWER),
        (NO_DS, keys_link(SIGNATURE), INSECURE, Cause.NO_DS),
        (NO_DS, keys_link(SIGNATURE, keys=(KEY, OTHER)), INSECURE, Cause.NO_DS),
        (NO_DS, keys_link(keys=()), INSECURE, Cause.UNSIGNED),
        (NO_DS, failed("DNSKEY"), INSECURE, Cause.UNSIGNED),
    ],
)
def test_a_zone_is_judged_by_the_records_above_it(
    ds: Link, keys: Link, status: DnssecStatus, cause: Cause | None
) -> None:
    """RFC 4035 §5.2"""
    judged = judge_zone(PARENT, ds, keys, NOW)
    assert (judged.zone, judged.parent, judged.status) == (ZONE, "org", status)
    assert (judged.broken.cause if judged.broken else None) is cause
    assert (judged.ends is not None) is (status is SECURE)
    if judged.broken is not None:
        assert judged.broken.zone == ZONE
        assert "\n" not in judged.broken.evidence


def test_what_is_wrong_with_keys_names_them() -> None:
    wrong = judge_zone(PARENT, ds_link(OTHER), keys_link(SIGNATURE), NOW).broken
    assert wrong is not None
    assert f"of key {OTHER.tag}, and {ZONE} has other keys: {KEY.tag}" in wrong.evidence
    unsigned = judge_zone(PARENT, ds_link(KEY), keys_link(OTHERS), NOW).broken
    assert unsigned is not None
    assert f"not signed by key {KEY.tag}, but by: {OTHER.tag}" in unsigned.evidence
    several = judge_zone(PARENT, NO_DS, keys_link(keys=(KEY, OTHER)), NOW).broken
    assert several is not None
    assert several.evidence == f"{ZONE} has 2 keys, and org has no DS record of it"
    assert several.keys == (KEY, OTHER)


def test_a_zone_of_unknown_algorithms_is_not_signed() -> None:
    """RFC 4035 §5.2: insecure, not bogus"""
    unknown = replace(ds_link(), ds=(DsRecord(1, 200, 2, b""), DsRecord(2, 13, 99, b"")))
    judged = judge_zone(PARENT, unknown, keys_link(SIGNATURE), NOW)
    assert judged.status is INSECURE
    assert judged.broken is not None
    assert judged.broken.cause is Cause.ALGORITHM_UNSUPPORTED
    assert "200/2, 13/99" in judged.broken.evidence


def test_the_root_is_judged_by_what_is_known_of_it() -> None:
    """RFC 4035 §4.4; what is wrong with it is the resolver's fault, and decides nothing."""
    key = KeyRecord(257, 3, 13, b"the root's")
    signature = replace(SIGNATURE, zone=".", tag=key.tag)
    keys = replace(keys_link(signature, keys=(key,)), name=".")
    anchors = (make_ds(".", key),)
    assert judge_root(keys, anchors, NOW).status is SECURE
    for bad, known in (
        (keys, (make_ds(".", KEY),)),
        (replace(keys, signatures=()), anchors),
        (replace(keys, outcome=Outcome.NODATA, keys=(), signatures=()), anchors),
    ):
        judged = judge_root(bad, known, NOW)
        assert judged.status is UNDECIDED
        assert judged.broken is not None
        assert judged.broken.cause is Cause.ROOT_NOT_PROVED
        assert "the root" in judged.broken.evidence
    silent = judge_root(replace(failed("DNSKEY"), name="."), anchors, NOW)
    assert silent.broken is not None
    assert silent.broken.cause is Cause.NO_ANSWER


@pytest.mark.parametrize(
    ("ds", "expected"),
    [
        (ds_link(KEY), Cut.SIGNED),
        (link("DS", SIGNATURE, outcome=Outcome.ALIAS), Cut.NONE),
        (replace(NO_DS, denials=denies(ZONE, "z.org", NS)), Cut.UNSIGNED),
        (replace(NO_DS, denials=denies(ZONE, "z.org", A)), Cut.NONE),
        (replace(NO_DS, denials=denies("e.org", f"a.{ZONE}", A)), Cut.NONE),
        (
            replace(
                NO_DS,
                outcome=Outcome.NXDOMAIN,
                denials=(*denies("e.org", "z.org", A), *denies("org", "a.org", NS, SOA)),
            ),
            Cut.NONE,
        ),
        (replace(NO_DS, denials=endless("org")), Cut.OPEN),
    ],
)
def test_where_a_zone_begins_is_said_by_the_one_above(ds: Link, expected: Cut) -> None:
    """RFC 4035 §5.2, §5.4; RFC 9276 §3.2"""
    assert find_cut(PARENT, ds, NOW) is expected


def test_an_unsigned_zone_may_be_left_out() -> None:
    """RFC 5155 §6: whether there is one, its own records say"""
    zone, types = make_labels("org"), TypeBitmap(((0, bytes((0x22,))),))
    apex, first, last = sha1(b"\3org\0").digest(), bytes(20), b"\xff" * 20
    denials = tuple(
        Denial(Nsec3(zone, owner, last, types, b"", 0, is_opt_out=True), (SIGNATURE,))
        for owner in (first, apex)
    )
    assert find_cut(PARENT, replace(NO_DS, denials=denials), NOW) is Cut.OPEN
    absent = Link("example.org", "A", Outcome.NXDOMAIN, denials=denials)
    judged = judge_record(PARENT, absent, NOW)
    assert judged.broken is not None
    assert (judged.status, judged.broken.cause) == (INSECURE, Cause.OPTED_OUT)


@pytest.mark.parametrize(
    ("ds", "cause"),
    [
        (failed("DS"), Cause.NO_ANSWER),
        (replace(ds_link(KEY), signatures=(WRONG,)), Cause.SIGNATURE_WRONG),
        (NO_DS, Cause.DENIAL_MISSING),
        (replace(NO_DS, denials=denies("a.org", "b.org", A)), Cause.DENIAL_MISSING),
        (
            replace(NO_DS, denials=denies(ZONE, "z.org", NS, signature=EXPIRED)),
            Cause.SIGNATURE_EXPIRED,
        ),
        # The zone's own word on itself is not the word of the one above.
        (replace(NO_DS, denials=denies(ZONE, "z.org", NS, SOA)), Cause.DENIAL_MISSING),
    ],
)
def test_what_the_zone_above_does_not_prove_breaks_the_chain(ds: Link, cause: Cause) -> None:
    found = find_cut(PARENT, ds, NOW)
    assert isinstance(found, Break)
    assert (found.cause, found.zone) == (cause, "org")
    broken = break_zone(PARENT, ZONE, found)
    assert broken.status is (UNDECIDED if cause is Cause.NO_ANSWER else BOGUS)
    assert broken.broken == found


WILD = replace(link("MX", replace(SIGNATURE, labels=2)), name="q.example.org")


@pytest.mark.parametrize(
    ("answer", "status", "cause"),
    [
        (link("MX", SIGNATURE), SECURE, None),
        (link("A", replace(SIGNATURE, labels=1), outcome=Outcome.ALIAS), SECURE, None),
        (link("MX", EXPIRED), BOGUS, Cause.SIGNATURE_EXPIRED),
        (link("MX"), BOGUS, Cause.SIGNATURE_MISSING),
        (link("MX", UNKNOWN), UNDECIDED, Cause.ALGORITHM_UNSUPPORTED),
        (failed("MX", "SERVFAIL (No Reachable Authority)"), UNDECIDED, Cause.NO_ANSWER),
        (
            link("MX", outcome=Outcome.NODATA, denials=denies(ZONE, f"a.{ZONE}", A, SOA, NS)),
            SECURE,
            None,
        ),
        (link("MX", outcome=Outcome.NODATA), BOGUS, Cause.DENIAL_MISSING),
        (link("MX", outcome=Outcome.NXDOMAIN), BOGUS, Cause.DENIAL_MISSING),
        (
            link(
                "MX",
                outcome=Outcome.NXDOMAIN,
                name=f"q.{ZONE}",
                denials=denies(ZONE, f"z.{ZONE}", SOA, NS),
            ),
            SECURE,
            None,
        ),
        # RFC 6840 §4.1, as some servers say it: the name is there, and has nothing of the type.
        (
            link("MX", outcome=Outcome.NXDOMAIN, denials=denies(ZONE, f"a.{ZONE}", SOA, NS)),
            SECURE,
            None,
        ),
        (
            link("MX", outcome=Outcome.NODATA, denials=endless(ZONE)),
            INSECURE,
            Cause.TOO_MANY_ITERATIONS,
        ),
        (replace(WILD, denials=denies(f"a.{ZONE}", f"z.{ZONE}", A)), SECURE, None),
        (WILD, BOGUS, Cause.DENIAL_MISSING),
        (replace(WILD, denials=endless(ZONE)), INSECURE, Cause.TOO_MANY_ITERATIONS),
    ],
)
def test_an_answer_is_judged_by_its_zone(
    answer: Link, status: DnssecStatus, cause: Cause | None
) -> None:
    """RFC 4035 §5.3, §5.3.4, §5.4"""
    judged = judge_record(TRUSTED, answer, NOW)
    assert (judged.status, judged.zone) == (status, ZONE)
    assert (judged.broken.cause if judged.broken else None) is cause
    is_signed = status is SECURE and answer.signatures
    assert judged.ends == (NOW + DAY if is_signed else None)


def test_who_signed_an_answer_is_known_also_of_what_is_denied() -> None:
    denied = denies(ZONE, "a.example.org", signature=replace(SIGNATURE, zone="org"))
    answer = link("MX", SIGNATURE, denials=denied)
    assert answer.signers == {ZONE, "org"}
    assert str(answer) == f"MX of {ZONE}"


@pytest.mark.parametrize("status", [INSECURE, BOGUS, UNDECIDED])
def test_below_a_zone_that_is_not_trusted_nothing_is(status: DnssecStatus) -> None:
    """RFC 4035 §4.3: whatever signatures there are"""
    broken = Break(Cause.NO_DS, ZONE, "DS", "why")
    zone = replace(TRUSTED, status=status, broken=broken)
    judged = judge_record(zone, link("MX", SIGNATURE), NOW)
    assert (judged.status, judged.broken, judged.ends) == (status, broken, None)
