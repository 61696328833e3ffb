"""Every case of OpenSSL's `test/danetest.in` and `test/dane-cross.in` comes out right.

OpenSSL is the one library that judges DANE, and no Python library has that part of it. Where mail's
rules are others than those of its test, the rule is named.
"""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from letterlock.protocols.policy.dane import explain_unusable, find_usable, judge_dane
from tests.proof.openssl_vectors import Case, read_cases, read_root

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(shutil.which("apt-get") is None, reason="the cases come with apt-get"),
]
# The certificates are valid until 2116 and later, or never were.
NOW = datetime(2026, 11, 22, tzinfo=UTC)
MISSING_ISSUER = 20
NAME_MISMATCH = 62
NO_MATCH = 65


def test_all_cases_of_openssl_come_out_right_with_their_depth() -> None:
    """RFC 7671 §5, RFC 7672 §3.1, §3.2; depth -1 stands for no match."""
    cases = list(read_cases())
    wrong = [f"{case.label}: {wrong}" for case in cases if (wrong := find_wrong(case))]
    assert wrong == []
    assert len(cases) >= 55


def find_wrong(case: Case) -> str | None:
    """Say what is other than OpenSSL has it; None: nothing."""
    pkix = [record for record in case.records if record.usage in (0, 1)]
    if any(explain_unusable(record) is None for record in pkix):
        return "usages 0 and 1 must be unusable (RFC 7672 §3.1.3)"
    records, chain, error = case.records, case.chain, case.error
    if not find_usable(records):
        # What they say of certificates is what 2 and 3 do, with a store of roots on top.
        chain = (*chain, read_root())
        records = tuple(replace(record, usage=record.usage + 2) for record in records)
        error = 0 if error == MISSING_ISSUER else error
    if error == NAME_MISMATCH and case.depth == 0 and records[0].usage == 3:
        error = 0  # RFC 7672 §3.2.1: names MUST NOT be checked with DANE-EE
    judgement = judge_dane(chain, records, [case.name], NOW)
    codes = [finding.reason_code for finding in judgement.findings]
    expected = {0: [], NAME_MISMATCH: ["name-mismatch"], NO_MATCH: ["dane-no-match"]}[error]
    depth = judgement.match.depth if judgement.match else -1
    if (codes, depth) == (expected, case.depth):
        return None
    return f"{codes} at depth {depth}, not {expected} at {case.depth}"
