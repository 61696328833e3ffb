"""The quick way to a mail's report: what it finds is what going through all parts finds.

RFC 8460 §5.3, RFC 2046 §5.1.
"""

from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mime.parts import find_parts
from letterlock.protocols.tlsrpt import finding
from letterlock.protocols.tlsrpt.finding import Found, read_file
from letterlock.protocols.tlsrpt.report import ReadReport
from letterlock.protocols.tlsrpt.usual_mail import MAX_USUAL_OCTETS, find_usual_part
from tests.protocols.tlsrpt.corpus import GOOGLE, MICROSOFT, Form, encode, make_mail

MAIL = make_mail(encode(GOOGLE.document))
DELIMITER = MAIL[MAIL.index(b"\r\n\r\n--") + 4 :].partition(b"\r\n")[0]
TEXT = b"Content-Type: text/plain; charset=us-ascii"


def read_slowly(mail: bytes) -> tuple[Found, ...]:
    with patch.object(finding, "find_usual_part", lambda _: None):
        return read_file(mail)


def same(one: tuple[Found, ...], other: tuple[Found, ...]) -> bool:
    """Errors are told apart by what they say."""
    return list(map(_key, one)) == list(map(_key, other))


def _key(found: Found) -> object:
    return found if isinstance(found, ReadReport) else (found.fault, str(found))


@pytest.mark.parametrize("form", [GOOGLE, MICROSOFT], ids=["google", "microsoft"])
def test_the_report_of_a_usual_mail_is_found_as_going_through_all_parts_does(form: Form) -> None:
    mail = make_mail(encode(form.document))
    part, (_, expected) = find_usual_part(mail), find_parts(mail)
    assert part is not None
    for name in ("content_type", "outer_types", "whole", "start", "end", "message", "encoding"):
        assert getattr(part, name) == getattr(expected, name), name
    assert part.file_name == expected.file_name is not None
    for field in (b"from", b"tls-report-domain", b"tls-report-submitter", b"nothing"):
        assert part.message_header.find(field) == expected.message_header.find(field)
    assert same(read_file(mail), read_slowly(mail))


def replacing(old: bytes, new: bytes, count: int = -1) -> Callable[[], bytes]:
    assert old in MAIL
    return lambda: MAIL.replace(old, new, count)


ENDING = b"\r\n" + DELIMITER + b"--"
THIRD = b"\r\n" + DELIMITER + b"\r\n" + TEXT + b"\r\n\r\nmore"
UNUSUAL = {
    "lines of LF": replacing(b"\r\n", b"\n"),
    "a blank line of LF": lambda: MAIL + b"\n\n",
    "too large": lambda: MAIL + b" " * MAX_USUAL_OCTETS,
    "no multipart": replacing(b"multipart/report", b"text/plain"),
    "another multipart": replacing(b"multipart/report", b"multipart/mixed"),
    "no Content-Type": lambda: MAIL[MAIL.index(b"\r\n\r\n") :],
    "no boundary": replacing(b"boundary=", b"border="),
    "a third part": replacing(ENDING, THIRD + ENDING),
    "no last delimiter": replacing(ENDING, b""),
    "a last delimiter that is none": replacing(ENDING, ENDING[:-2]),
    "a delimiter in the text": replacing(b"A report", b"A " + DELIMITER + b" report"),
    "a delimiter in the header": replacing(b"To: ", DELIMITER + b": \r\nTo: ", 1),
    "a header for the first part": lambda: MAIL.replace(
        b"To: ", DELIMITER + b": \r\nTo: ", 1
    ).replace(b"\r\n" + DELIMITER + b"\r\n" + TEXT, b""),
    "a part that is no text": replacing(TEXT, b"Content-Type: text/html"),
    "a text with a file name": replacing(TEXT, TEXT + b'; Name="a!b!1!2.json"'),
    "a text without header": replacing(TEXT + b"\r\n", b""),
    "a text of one line": replacing(b"us-ascii\r\n\r\nA", b"us-ascii\r\nA"),
    "words behind a delimiter": replacing(DELIMITER + b"\r\n" + TEXT, DELIMITER + b" x\r\n" + TEXT),
    "a report that is not packed": replacing(b"tlsrpt+gzip", b"tlsrpt+json"),
    "a report without header": replacing(b"\r\nContent-Type: application", b"x\r\nx: application"),
    "a report without body": lambda: MAIL[: MAIL.index(b"\r\n\r\nH4sI")] + ENDING,
    "a report without type": replacing(b"Content-Type: application/", b"Contents: application/"),
}


@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_the_slow_way(make: Callable[[], bytes]) -> None:
    mail = make()
    assert find_usual_part(mail) is None
    assert same(read_file(mail), read_slowly(mail))


PIECES = st.sampled_from(
    (
        *(b"\r\n", b"\n", b"\r", b" ", b"--", b'"', b";", b":", b"\r\n\r\n", DELIMITER, ENDING),
        *(b"\r\n" + DELIMITER + b"\r\n", b"name=a!b!1!2.json.gz", TEXT + b"\r\n", b"\t"),
        *(b"Content-Type: application/tlsrpt+gzip\r\n", b"Content-Transfer-Encoding: base64\r\n"),
        *(b"Content-Type: message/rfc822\r\n", b"multipart/", b"Content-Disposition: attachment"),
    )
)
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 60), st.one_of(st.just(b""), PIECES)),
    min_size=1,
    max_size=4,
)


@given(CHANGES)
def test_a_changed_mail_is_read_as_going_through_all_parts_reads_it(
    changes: list[tuple[float, int, bytes]],
) -> None:
    """Octets are taken out, and pieces of mails put in, anywhere."""
    mail = MAIL
    for place, octets, piece in changes:
        at = int(place * len(mail))
        mail = mail[:at] + piece + mail[at + octets :]
    assert same(read_file(mail), read_slowly(mail))
