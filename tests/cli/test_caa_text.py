"""An answer on CAA for people: every kind of lookup, and nothing too long or unprintable."""

from typing import Any

from letterlock.cli.caa_text import MAX_SHOWN, format_line, format_story


def lookup(**changes: Any) -> dict[str, Any]:
    return {
        "name": "a.example",
        "dnssec": "secure",
        "existence": "nodata",
        "records": 0,
        "aliases": [],
        "ttl": 60,
        "reason": "",
        **changes,
    }


def answer(**changes: Any) -> dict[str, Any]:
    return {
        "name": "a.example",
        "issuer": "ca.example",
        "account": None,
        "method": None,
        "decision": "allow",
        "cause": "no-records",
        "reason": "why",
        "records": [],
        "remedy": None,
        "lookups": [],
        "unsigned_zone": False,
        "notes": [],
        **changes,
    }


def record(value: str) -> dict[str, Any]:
    return {"flags": 0, "tag": "issue", "value": value, "reason": "why"}


def test_lookups_are_told_with_how_sure_they_are() -> None:
    """RFC 4035 §4.3"""
    lookups = [
        lookup(),
        lookup(existence="nxdomain", dnssec="insecure"),
        lookup(existence="records", records=1, aliases=["b.example", "c.example"]),
        lookup(existence="records", records=2),
        lookup(existence=None, dnssec="failed", reason="no time", ttl=None),
        lookup(existence=None, dnssec="bogus", reason="expired", ttl=None),
    ]
    lines = " ".join(" ".join(format_story(answer(lookups=lookups))).split())
    for text in (
        "asked a.example: no CAA records (DNSSEC vouches for it, TTL 60)",
        "a.example: no such name (not vouched for by DNSSEC, TTL 60)",
        "a.example, an alias of b.example, an alias of c.example: 1 record (DNSSEC",
        "a.example: 2 records (DNSSEC",
        "a.example: no answer: no time",
        "a.example: bogus: expired",
    ):
        assert text in lines


def test_a_zone_that_is_proved_unsigned_is_told() -> None:
    """Baseline Requirements 3.2.2.8"""
    story = " ".join(" ".join(format_story(answer(unsigned_zone=True))).split())
    assert "note DNSSEC proves that the zone is not signed" in story


def test_many_and_long_records_are_shortened() -> None:
    """The JSON document has all."""
    records = [record("x" * 5000), *(record(str(number)) for number in range(MAX_SHOWN + 2))]
    story = list(format_story(answer(records=records)))
    assert story[-1].strip() == "and 3 more"
    assert len("".join(story)) < 1500


def test_what_came_from_outside_is_made_printable() -> None:
    odd = answer(
        reason="\x1b[2J",
        records=[record("\x07\n")],
        notes=["\x9b"],
        lookups=[lookup(existence=None, dnssec="failed", reason="\x1b", ttl=None)],
    )
    assert all(line.isprintable() for line in (*format_story(odd), format_line(odd)))
