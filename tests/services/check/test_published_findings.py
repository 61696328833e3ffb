"""Findings that DNS alone tells have their RFC; those about one's own sending are left out."""

from letterlock.base.domains import Domain
from letterlock.protocols.check.findings import Severity
from letterlock.services.check.published_findings import find_rfc, translate
from letterlock.services.publish.findings import Code, error, note, warning

NAME = Domain("example.org")


def test_every_finding_about_mail_that_comes_in_has_its_rfc() -> None:
    found = list(translate(error(code, NAME, "text", "fix") for code in Code))
    assert len(found) > 40
    assert all(each.rfc.startswith("RFC ") for each in found)
    left_out = {code for code in Code if not find_rfc(code)}
    assert {code.partition("-")[0] for code in left_out} == {"spf", "dkim", "dmarc", "ptr"}
    assert {each.id for each in found} == {str(code) for code in set(Code) - left_out}


def test_how_bad_it_is_to_who_sends() -> None:
    kinds = (error, warning, note)
    found = list(translate(kind(Code.TLSA_UNUSABLE, NAME, "text") for kind in kinds))
    assert [each.severity for each in found] == [Severity.CRITICAL, Severity.NOTICE, Severity.INFO]
    assert found[0].where == NAME


def test_a_null_mx_that_is_meant_is_told_all_the_same() -> None:
    """RFC 7505 §3: whoever did not mean it must see it."""
    found = list(translate(kind(Code.MX_NULL, NAME, "text") for kind in (error, note)))
    assert [each.severity for each in found] == [Severity.CRITICAL, Severity.NOTICE]
    assert {each.rfc for each in found} == {"RFC 7505 §3"}
