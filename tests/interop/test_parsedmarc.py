"""TLS reports beside parsedmarc: what both read is the same, but where one of them is wrong.

The differences that are known, and who is right:

- parsedmarc drops `mx-host` of every report: it looks for the name of the value in the figure of
  RFC 8460 §4.4. We are right.
- It refuses a whole report where a count or a policy domain is missing, and where a line end stands
  in a string (as in §B). We read the rest, and name what is unknown.
- It drops a policy that comes as a text, and leaves Microsoft's JSON in a text as one line. We read
  its lines.
- It keeps date-times and addresses as they were written. We give them one form; which is needed
  before they can be compared.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult, ReadReport
from letterlock.protocols.tlsrpt.writing import format_moment
from tests.interop.parsedmarc_peer import Parsedmarc, is_here, running_parsedmarc
from tests.protocols.tlsrpt.corpus import (
    APPENDIX_B,
    COMCAST,
    FORMS,
    GOOGLE_2019,
    GOOGLE_CR,
    MICROSOFT,
    POSTFIX,
    SOCKETLABS,
    Form,
    encode,
    make_mail,
)

pytestmark = pytest.mark.proof
REFUSED_BY_THEM = (GOOGLE_2019, POSTFIX)
READ_OTHERWISE = (GOOGLE_CR, MICROSOFT, SOCKETLABS, COMCAST)


@pytest.fixture(scope="module")
def parsedmarc() -> Iterator[Parsedmarc]:
    if not is_here():
        pytest.skip("parsedmarc is not there: `make parsedmarc` brings it")
    with running_parsedmarc() as running:
        yield running


def describe(mail: bytes) -> dict[str, Any]:
    """Give our reading in their words, without what they drop."""
    (found,) = read_file(mail)
    assert isinstance(found, ReadReport)
    report = found.report
    return {
        "organization_name": report.organization_name,
        "begin_date": format_moment(report.start),
        "end_date": format_moment(report.end),
        "contact_info": report.contact_info,
        "report_id": report.report_id,
        "policies": [describe_policy(result) for result in report.policies],
    }


def describe_policy(result: PolicyResult) -> dict[str, Any]:
    described = {
        "policy_domain": result.domain,
        "policy_type": result.type,
        "policy_strings": list(result.strings),
        "successful_session_count": result.successful,
        "failed_session_count": result.failed,
        "failure_details": [describe_failure(failure) for failure in result.failures],
    }
    return {name: value for name, value in described.items() if value != []}


def describe_failure(failure: FailureDetails) -> dict[str, Any]:
    described = {
        "result_type": failure.result_type,
        "failed_session_count": failure.count,
        "sending_mta_ip": failure.sending_mta_ip,
        "receiving_ip": failure.receiving_ip,
        "receiving_mx_hostname": failure.receiving_mx_hostname,
        "receiving_mx_helo": failure.receiving_mx_helo,
        "failure_reason_code": failure.reason_code,
        "additional_info_uri": failure.additional_information,
    }
    return {name: value for name, value in described.items() if value is not None}


@pytest.mark.parametrize(
    "form",
    [each for each in FORMS if each not in (*REFUSED_BY_THEM, *READ_OTHERWISE)],
    ids=lambda form: form.name,
)
def test_what_both_understand_is_the_same(form: Form, parsedmarc: Parsedmarc) -> None:
    mail = make_mail(encode(form.document))
    assert describe(mail) == parsedmarc.read(mail)


@pytest.mark.parametrize("form", REFUSED_BY_THEM, ids=lambda form: form.name)
def test_what_they_refuse_for_one_member_is_read(form: Form, parsedmarc: Parsedmarc) -> None:
    mail = make_mail(encode(form.document))
    assert "Missing required policy field" in str(parsedmarc.read(mail))
    assert describe(mail)["policies"]


def test_the_example_of_the_rfc_is_read_by_us_alone(parsedmarc: Parsedmarc) -> None:
    mail = make_mail(APPENDIX_B)
    assert "Invalid control character" in str(parsedmarc.read(mail))
    assert len(describe(mail)["policies"][0]["failure_details"]) == 3


def test_lines_of_policies_are_lines_with_us(parsedmarc: Parsedmarc) -> None:
    mail = make_mail(encode(GOOGLE_CR.document))
    theirs = parsedmarc.read(mail)
    assert isinstance(theirs, dict)
    assert theirs["policies"][0]["policy_strings"][0] == "version: STSv1\r"
    assert describe(mail)["policies"][0]["policy_strings"][0] == "version: STSv1"
    mail = make_mail(encode(MICROSOFT.document))
    theirs = parsedmarc.read(mail)
    assert isinstance(theirs, dict)
    assert len(theirs["policies"][1]["policy_strings"]) == 1
    assert len(describe(mail)["policies"][1]["policy_strings"]) == 2


@pytest.mark.parametrize(
    ("form", "member"),
    [(SOCKETLABS, "receiving_mx_hostname"), (COMCAST, "failure_reason_code")],
    ids=["SocketLabs", "Comcast"],
)
def test_members_of_other_names_are_lost_to_them(
    form: Form, member: str, parsedmarc: Parsedmarc
) -> None:
    mail = make_mail(encode(form.document))
    theirs = parsedmarc.read(mail)
    assert isinstance(theirs, dict)
    assert member not in theirs["policies"][0]["failure_details"][0]
    assert describe(mail)["policies"][0]["failure_details"][0][member]
