"""TLS reporting: the record in DNS, and reports: their JSON, what packs them, the mail around."""

import gzip
import io
import zipfile
from contextlib import suppress
from datetime import date

from letterlock.protocols.mime.header import Header, decode_words, parse_parameterized
from letterlock.protocols.mime.parts import MAX_PARTS, decode_base64, find_parts
from letterlock.protocols.tlsrpt.datagram import DatagramError, parse_datagram
from letterlock.protocols.tlsrpt.destinations import (
    DestinationError,
    HttpsDestination,
    MailDestination,
    parse_destination,
)
from letterlock.protocols.tlsrpt.fetcher import (
    FetcherError,
    format_details,
    format_domain_list,
    parse_details,
    parse_domain_list,
)
from letterlock.protocols.tlsrpt.file_names import (
    format_file_name,
    is_file_name_of_report,
    parse_file_name,
)
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.json_text import has_repeated_names, parse_json
from letterlock.protocols.tlsrpt.limits import MAX_REPORT_OCTETS
from letterlock.protocols.tlsrpt.mail import format_subject, parse_subject, read_mail_fields
from letterlock.protocols.tlsrpt.plain_reading import read_plain
from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.record import TlsrptRecord, TlsrptRecordError, parse_record
from letterlock.protocols.tlsrpt.report import MAX_COUNT, ReadReport, ReportError
from letterlock.protocols.tlsrpt.results import make_report
from letterlock.protocols.tlsrpt.unpacking import unpack
from letterlock.protocols.tlsrpt.writing import format_report
from letterlock.protocols.tlsrpt.zip_files import read_zip
from letterlock.services.collect.aggregate import DayCounts
from tests.fuzz.target import Target
from tests.protocols.tlsrpt.corpus import APPENDIX_B, FORMS, encode, make_mail
from tests.protocols.tlsrpt.datagrams import DATAGRAMS, FETCHED_LIST, FETCHED_RESULTS


def check_record(octets: bytes) -> None:
    """Records are one, wrong, or none; another that is no TLSRPT record changes nothing."""
    texts = octets.split(b"\xff")
    match parse_record(texts):
        case TlsrptRecord(rua, text) as record:
            assert rua
            assert text.isascii()
            assert len(text.splitlines()) == 1
            assert all(uri in text for uri in rua)
            assert not any(set(uri) & set(" \t,;!") for uri in rua)
            assert set(record.destinations) <= set(rua)
            for uri in rua:
                check_destination(uri)
            if text.startswith("v=TLSRPTv1;"):
                assert parse_record([*texts, b"v=spf1 -all"]) == record
        case TlsrptRecordError(reason):
            assert reason.isprintable()
            assert any(each.startswith(b"v=TLSRPTv1") for each in texts)
        case None:
            pass


def check_read(read: ReadReport) -> None:
    """Counts are counts or unknown, lines are lines; what can be written reads as the same."""
    assert all(line.isprintable() for line in read.repairs)
    for result in read.report.policies:
        counts = [result.successful, result.failed, *(each.count for each in result.failures)]
        assert all(count is None or 0 <= count <= MAX_COUNT for count in counts)
    try:
        written = format_report(read.report)
    except ValueError:
        return
    again = parse_report(written)
    assert format_report(again.report) == written


def check_json(octets: bytes) -> None:
    """Reports are values, or the one error; the quick way finds what the other one finds."""
    plain = read_plain(octets)
    try:
        value, faults = parse_json(octets)
        assert any("twice" in fault for fault in faults) == has_repeated_names(value)
        read = parse_report(octets)
    except ReportError as error:
        assert plain is None
        assert str(error).isprintable()
        return
    assert read.raw == octets
    assert plain is None or (read.repairs == () and faults == [])
    check_read(read)


def check_packed(octets: bytes) -> None:
    """What is unpacked is not too large; damage is the one error."""
    for take in (unpack, lambda packed: [(file, ()) for file in read_zip(packed)]):
        try:
            files = take(octets)
        except ReportError as error:
            assert str(error).isprintable()
            continue
        assert sum(len(file) for file, _ in files) <= 2 * MAX_REPORT_OCTETS


def check_mail(octets: bytes) -> None:
    """Any file gives reports or refusals, at least one."""
    found = read_file(octets)
    assert found
    for each in found:
        if isinstance(each, ReadReport):
            check_read(each)
        else:
            assert str(each).isprintable()
    read_mail_fields(Header(octets))


def check_parts(octets: bytes) -> None:
    """Parts lie within the message, and are not too many."""
    decode_base64(octets)
    parts = list(find_parts(octets))
    assert len(parts) <= MAX_PARTS
    for part in parts:
        assert 0 <= part.start <= part.end <= len(part.whole)
        assert part.file_name is None or part.file_name
        part.decode()


def check_destination(uri: str) -> None:
    """A URI is one that mail or a request can go to, or none."""
    with suppress(DestinationError):
        match parse_destination(uri):
            case MailDestination(address):
                assert address.isascii()
                assert address.isprintable()
            case HttpsDestination(host, port, target):
                assert f"{host}{target}".isprintable()
                assert 1 <= port <= 0xFFFF


def check_datagram(octets: bytes) -> None:
    """Datagrams are values, or the one error; what is counted can be reported and stored."""
    try:
        datagram = parse_datagram(octets)
    except DatagramError as error:
        assert str(error).isprintable()
        return
    counts = DayCounts()
    counts.add(datagram, 3)
    assert counts.sessions == 3
    (results,) = counts.list_results()
    assert all("," not in uri for uri in results.destinations)
    format_report(make_report(results, date(2026, 3, 1), "we", "a@b.example", "1"))
    written = format_details(results.domain, [results]).encode()
    again = parse_details(written)
    assert format_details(results.domain, again).encode() == written


def check_fetched(octets: bytes) -> None:
    """What a fetcher gives is a value, or the one error; lists are written as they are read."""
    try:
        domains = parse_domain_list(octets)
        assert parse_domain_list(format_domain_list(domains).encode()) == domains
    except FetcherError as error:
        assert str(error).isprintable()
    try:
        details = parse_details(octets)
    except FetcherError as error:
        assert str(error).isprintable()
        return
    for each in details:
        for result in each.policies:
            assert result.failed is not None
            assert result.failed >= 0


def check_names(octets: bytes) -> None:
    """File names and subjects that are understood can be written, and are the same then."""
    text = octets.decode("utf-8", "replace")
    assert parse_parameterized(text).value == parse_parameterized(text).value.lower()
    decode_words(text)
    if (name := parse_file_name(text)) is not None:
        assert parse_file_name(format_file_name(name)) == name
        assert is_file_name_of_report(text)
    if (subject := parse_subject(text)) is not None:
        try:
            assert parse_subject(format_subject(subject)) == subject
        except ValueError:
            assert "@" not in subject.report_id or not subject.report_id.isalnum()


def make_zip(octets: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("a/", b"")
        files.writestr("a/report.json", octets)
    return archive.getvalue()


_JSON_SEEDS = (*(encode(form.document) for form in FORMS), APPENDIX_B)
_JSON_WORDS = (
    *(b'"', b"{", b"}", b"[", b"]", b":", b",", b"null", b"NaN", b"1e400", b"-1", b"\\u0000"),
    *(b"\\ud800", b"policies", b"\xef\xbb\xbf", b"\xff\xfe", b"[" * 40, b"9" * 40, b"true"),
    *(b"policy-string", b"failure-details", b"mx-host", b"2026-04-01T24:00:00Z"),
)
_PACKED = (gzip.compress(b"{}"), gzip.compress(_JSON_SEEDS[0])[:-4], make_zip(_JSON_SEEDS[0]))
_MAIL = make_mail(_JSON_SEEDS[0])
_FORWARDED = (
    b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nSee below\n--x\n"
    b"Content-Type: message/rfc822\n\n" + _MAIL.replace(b"\r\n", b"\n") + b"\n--x--\n"
)
_MAIL_WORDS = (
    *(b"\r\n", b"\n", b"--x", b"--", b"Content-Type: ", b"multipart/mixed; boundary=x"),
    *(b"message/rfc822", b"base64", b"quoted-printable", b"Content-Transfer-Encoding: ", b"="),
    *(b"application/json", b"; name*0*=", b"''%41", b"=?utf-8?q?a?=", b"a!b!1!2.json.gz"),
)

_DATAGRAMS = tuple(each.encode() for each in DATAGRAMS)
_DATAGRAM_WORDS = (
    *(b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\u0000", b"\xff", b"\\ud800", b"null"),
    *(b'"policies":', b'"policy-type":9', b'"policy-domain": ', b'"failure-details":[', b'"c":'),
    *(b'"mx-host":', b'"policy-string":', b'"f":1', b"901", b"9" * 5000, b"[" * 5000),
)

TARGETS = (
    Target("tlsrpt-datagram", check_datagram, _DATAGRAMS, _DATAGRAM_WORDS, 5000, runs=1500),
    Target(
        "tlsrpt-fetched",
        check_fetched,
        (
            format_domain_list(FETCHED_LIST).encode(),
            format_details("example.net", [FETCHED_RESULTS]).encode(),
        ),
        (*_DATAGRAM_WORDS, b"\n", b".\n", b"cntrtotal", b'\\"'),
        5000,
        runs=1000,
    ),
    Target(
        "tlsrpt-record",
        check_record,
        (
            b"v=TLSRPTv1; rua=mailto:reports@example.com",
            b"v=spf1 -all\xffv=TLSRPTv1 ;a=b; rua=mailto:a@b.c , https://d.e/f?g=%2C ;",
        ),
        (b"v=TLSRPTv1", b";", b"rua=", b",", b" ", b"\t", b"\xff", b"%", b"!", b"mailto:", b"="),
        600,
        runs=1500,
    ),
    Target("tlsrpt-json", check_json, _JSON_SEEDS, _JSON_WORDS, 6000, runs=500),
    Target(
        "tlsrpt-packed",
        check_packed,
        _PACKED,
        (b"\x1f\x8b", b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\x78\x9c", b"\0" * 4),
        runs=1500,
    ),
    Target("tlsrpt-mail", check_mail, (_MAIL, _FORWARDED, *_PACKED), _MAIL_WORDS, 8000, runs=500),
    Target("mime-parts", check_parts, (_MAIL, _FORWARDED), _MAIL_WORDS, 8000, runs=500),
    Target(
        "tlsrpt-names",
        check_names,
        (
            b"a.example!b.example!1470013207!1470186007!001.json.gz",
            b"Report Domain: a.example Submitter: b.example Report-ID: <735ff.e317+b@c.example>",
            b"text/plain; a=\"b\\c\"; name*0*=utf-8''%41; name*1=b",
        ),
        _MAIL_WORDS,
        1000,
        runs=1500,
    ),
)
