"""Whether certificates are on a list, and files that have them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from letterlock.protocols.pki.certificate import IssuerAndSerial, read_issuer_and_serial
from letterlock.protocols.pki.throwaway_ca import Issued, Shape, ThrowawayCa
from letterlock.services.incidents import files, results
from letterlock.services.incidents.files import read_files
from letterlock.services.incidents.findings import NotAsked, Shown
from letterlock.services.incidents.results import Result, check
from tests.fakes import START

CA, OTHER_CA = ThrowawayCa("Ca", START), ThrowawayCa("Other", START)
SERIAL = 0x0362AABBCCDDEEFF00112233445566778899


def issue(serial: int, ca: ThrowawayCa = CA) -> Issued:
    return ca.issue(["mx.test"], now=START, shape=Shape(serial=serial))


ISSUED = issue(SERIAL)


@dataclass
class List:
    """A list in memory; counts how often it is read again."""

    serials: Mapping[int, int]
    issuer: bytes | None = None
    readings: list[set[int]] = field(default_factory=list)

    def find(self, serial: int) -> int | None:
        return self.serials.get(serial)

    def read_entries(self, places: Collection[int]) -> Mapping[int, str]:
        self.readings.append(set(places))
        return {place: f"line {place}" for place in places}


def check_one(finding: Shown | NotAsked, listed: List) -> Result:
    (result,) = check(listed, [finding])
    return result


def test_a_certificate_on_the_list_is_affected_and_the_list_is_cited() -> None:
    listed = List({SERIAL: 7})
    found = check(listed, [Shown("a.pem", ISSUED.der), Shown("mx:25", ISSUED.der, ("no SNI",))])
    assert [each.affected for each in found] == [True, True]
    assert found[0].serial == "0362aabbccddeeff00112233445566778899"
    assert (found[0].place, found[0].entry) == (7, "line 7")
    assert (found[0].names, found[0].key) == (("mx.test",), "ec-secp256r1")
    assert [each.advice for each in found] == [results.RENEW_FILE, results.RENEW_SHOWN]
    assert listed.readings == [{7}]


def test_one_that_is_not_on_it_is_not_affected_and_the_list_is_not_read_again() -> None:
    listed = List({})
    result = check_one(Shown("a.pem", ISSUED.der), listed)
    assert (result.affected, result.entry, result.advice) == (False, None, results.NOTHING_TO_DO)
    assert listed.readings == []


@pytest.mark.parametrize(
    "finding",
    [
        NotAsked("mx:25", "no answer within 20 seconds"),
        Shown("a.pem", b"\x30\x00"),
        Shown("a.pem", b""),
    ],
)
def test_what_could_not_be_asked_is_never_not_affected(finding: Shown | NotAsked) -> None:
    result = check_one(finding, List({0: 1}))
    assert (result.affected, result.serial, result.advice) == (None, None, results.ASK_AGAIN)
    assert result.reason


def test_a_negative_serial_number_is_on_no_list() -> None:
    """RFC 5280 §4.1.2.2."""
    der = issue(0xABCDEF).der.replace(b"\x02\x04\x00\xab\xcd\xef", b"\x02\x04\xff\xab\xcd\xef")
    result = check_one(Shown("a.pem", der), List({}))
    assert result.affected is None
    assert "negative" in (result.reason or "")


def test_a_serial_number_of_zero_and_a_certificate_with_faults_are_looked_up_all_the_same() -> None:
    der = issue(0xABCDEF).der.replace(b"\x02\x04\x00\xab\xcd\xef", b"\x02\x04\x00\x00\x00\x00")
    result = check_one(Shown("a.pem", der), List({0: 3}))
    assert (result.affected, result.serial, result.names, result.key) == (True, "00", (), None)


def test_a_short_serial_number_may_be_another_issuers() -> None:
    """RFC 5280 §4.1.2.2: it is unique for its issuer only."""
    result = check_one(Shown("a.pem", issue(0x1234).der), List({0x1234: 1}))
    assert result.affected is True
    assert result.advice.endswith(results.SHORT)


def test_a_crl_speaks_of_its_issuers_certificates_only() -> None:
    """RFC 5280 §5.1.2.3."""
    identity = read_issuer_and_serial(ISSUED.der)
    assert isinstance(identity, IssuerAndSerial)
    listed = List({SERIAL: 1, 0x1234: 2}, identity.issuer)
    assert check_one(Shown("a", ISSUED.der), listed).affected is True
    short = check_one(Shown("a", issue(0x1234).der), listed)
    assert (short.affected, short.advice) == (True, results.RENEW_FILE)
    same = check_one(Shown("a", issue(SERIAL, OTHER_CA).der), listed)
    assert (same.affected, same.reason, same.entry) == (None, results.OTHER_ISSUER, "line 1")
    other = check_one(Shown("a", issue(9, OTHER_CA).der), listed)
    assert (other.affected, other.reason) == (False, results.NOT_THIS_ISSUERS)


def test_each_certificate_of_a_file_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "chain.pem"
    path.write_bytes(ISSUED.key_pem + ISSUED.certificate_pem + CA.pem)
    found = list(read_files([str(path)]))
    assert found == [Shown(f"{path}#1", ISSUED.der), Shown(f"{path}#2", CA.der)]
    path.write_bytes(ISSUED.der)
    assert list(read_files([str(path)])) == [Shown(str(path), ISSUED.der)]


def test_files_that_tell_nothing_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty\n.pem"
    empty.write_bytes(b"")
    monkeypatch.setattr(files, "MAX_FILE_OCTETS", 4)
    large = tmp_path / "large"
    large.write_bytes(b"12345")
    paths = [str(empty), str(tmp_path), str(tmp_path / "none"), str(large), "nul\0"]
    found = list(read_files(paths))
    assert [each.reason for each in found if isinstance(each, NotAsked)] == [
        "no certificate is in it",
        "cannot be read: Is a directory",
        "cannot be read: No such file or directory",
        "a file of more than 4 octets",
        "cannot be read: embedded null byte",
    ]
    assert "\n" not in found[0].source
