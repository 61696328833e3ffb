"""Records of a zone: values in their one form."""

import pytest

from letterlock.base.domains import Domain
from letterlock.network.zone_records import ZoneRecord, format_value, make_rdata, normalize_value


@pytest.mark.parametrize(
    ("rdtype", "written", "normal"),
    [
        ("TXT", "a", "a"),
        ("TXT", "", ""),
        ("TXT", 'with "quotes" and \\ in it', 'with "quotes" and \\ in it'),
        ("TXT", "x" * 256, "x" * 256),
        ("TLSA", "3 1 1 " + "AB CD" * 16, "3 1 1 " + "abcd" * 16),
        ("A", "192.0.2.1", "192.0.2.1"),
        ("CNAME", "mx1.example.org.", "mx1.example.org."),
    ],
)
def test_values_have_one_form(rdtype: str, written: str, normal: str) -> None:
    """RFC 1035 §3.3.14, §5.1; RFC 6698 §2.2."""
    assert normalize_value(rdtype, written) == normal
    assert format_value(make_rdata(rdtype, normal)) == normal


@pytest.mark.parametrize(
    ("rdtype", "value"), [("TLSA", "3 1 1 xyz"), ("A", "mx1"), ("NO", "x"), ("TLSA", "3 1 1 ab\n4")]
)
def test_a_value_that_can_not_be(rdtype: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"not the text of a {rdtype} record"):
        make_rdata(rdtype, value)


def test_a_record_is_shown_without_its_value() -> None:
    assert str(ZoneRecord(Domain("a.example"), "TXT", "secret", 60)) == "TXT a.example"
