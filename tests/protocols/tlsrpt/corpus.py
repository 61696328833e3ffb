"""Reports in the forms that real reporters write, made by us from what is known of each.

Names and addresses are of documentation. What of each form RFC 8460 does not have, is beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from letterlock.protocols.tlsrpt.file_names import FileName
from letterlock.protocols.tlsrpt.mail import ReportMail, format_report_mail

STS_LINES = ["version: STSv1", "mode: enforce", "mx: *.mail.company-y.example", "max_age: 86400"]
TLSA = "3 1 1 1f850a337e6db9c609c522d136a475638cc43e1ed424f8eec8513d747d1d085d"


def make_document(**changes: Any) -> dict[str, Any]:
    """Make a report that is as RFC 8460 has it, with other members at the top."""
    document: dict[str, Any] = {
        "organization-name": "Company-X",
        "date-range": {
            "start-datetime": "2026-04-01T00:00:00Z",
            "end-datetime": "2026-04-01T23:59:59Z",
        },
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        "policies": [make_result()],
    }
    return {name: value for name, value in (document | changes).items() if value is not ...}


def make_result(
    policy: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Make a policy's member; `...` leaves a name out, `_` in one stands for `-`."""
    usual_policy = {
        "policy-type": "sts",
        "policy-string": STS_LINES,
        "policy-domain": "company-y.example",
        "mx-host": ["*.mail.company-y.example"],
    }
    usual_summary = {"total-successful-session-count": 5326, "total-failure-session-count": 303}
    result = {
        "policy": _leave_out(usual_policy | dict(policy or {})),
        "summary": _leave_out(usual_summary | dict(summary or {})),
        "failure-details": [make_failure()],
    }
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return _leave_out(result | named)


def make_failure(**changes: Any) -> dict[str, Any]:
    """Make a failure's member; `_` in a name stands for `-`."""
    failure: dict[str, Any] = {
        "result-type": "certificate-expired",
        "sending-mta-ip": "198.51.100.62",
        "receiving-mx-hostname": "mx1.mail.company-y.example",
        "receiving-ip": "2001:db8::1",
        "failed-session-count": 303,
    }
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return _leave_out(failure | named)


def _leave_out(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}


def encode(document: Any) -> bytes:
    """Encode as a reporter does."""
    return json.dumps(document, ensure_ascii=False).encode()


def make_mail(octets: bytes, *, is_packed: bool = True) -> bytes:
    """Make the mail that RFC 8460 has for a report."""
    name = FileName(
        "company-x.example", "company-y.example", 1775001600, 1775087999, "001", is_packed
    )
    return format_report_mail(
        ReportMail(
            "tlsrpt@company-x.example",
            "reports@company-y.example",
            "Thu, 02 Apr 2026 10:00:00 +0000",
            "<20260402100000.x@company-x.example>",
            "20260401.x@company-x.example",
            name,
            octets,
            "A report on TLS.",
        )
    )


@dataclass(frozen=True, slots=True)
class Form:
    """A reporter's form. `places` are those of its repairs, in their order."""

    name: str
    document: Any
    places: tuple[str, ...] = ()


NO_POLICY = {"policy-type": "no-policy-found", "policy-string": ..., "mx-host": ...}

GOOGLE = Form(
    "Google",
    make_document(**{"organization-name": "Google Inc.", "report-id": "2026-04-01T00:00:00Z_x"}),
)
GOOGLE_NO_POLICY = Form(
    "Google, where there is no policy",
    make_document(
        policies=[make_result(NO_POLICY, {"total-failure-session-count": 0}, failure_details=...)]
    ),
)
GOOGLE_CR = Form(
    "Google, of a policy with CRLF",
    make_document(policies=[make_result({"policy-string": [f"{line}\r" for line in STS_LINES]})]),
    ("policies[0].policy.policy-string",),
)
GOOGLE_2019 = Form(
    "Google in 2019, without a count that is zero",
    make_document(policies=[make_result(summary={"total-successful-session-count": ...})]),
    ("policies[0].summary.total-successful-session-count",),
)
MICROSOFT = Form(
    "Microsoft, with both policies",
    make_document(
        **{
            "organization-name": "Microsoft Corporation",
            "report-id": "133870000000000000+company-y.example",
            "date-range": {
                "start-datetime": "2026-04-01T00:00:00",
                "end-datetime": "2026-04-01T23:59:59",
            },
        },
        policies=[
            make_result(
                {"mx-host": ...},
                {"total-failure-session-count": 1},
                failure_details=[
                    make_failure(
                        sending_mta_ip=...,
                        receiving_ip=...,
                        result_type="validation-failure",
                        failure_reason_code="MX_HOSTS_MISMATCH",
                    )
                ],
            ),
            make_result(
                {
                    "policy-type": "tlsa",
                    "mx-host": ...,
                    "policy-string": [json.dumps([TLSA, TLSA.replace("1f", "2f")])],
                },
                {"total-failure-session-count": 0},
                failure_details=[],
            ),
        ],
    ),
    (
        "date-range.start-datetime",
        "date-range.end-datetime",
        "policies[0].policy.mx-host",
        "policies[1].policy.policy-string",
    ),
)
MAIL_RU = Form(
    "mail.ru, whose day ends at the next midnight",
    make_document(
        **{
            "date-range": {
                "start-datetime": "2026-04-01T00:00:00Z",
                "end-datetime": "2026-04-02T00:00:00Z",
            }
        },
        policies=[
            make_result(
                failure_details=[
                    make_failure(sending_mta_ip=..., failure_reason_code="x509: " + "x" * 144)
                ]
            )
        ],
    ),
)
YAHOO = Form(
    "Yahoo, on one line, with all members",
    make_document(
        policies=[
            make_result(
                failure_details=[
                    make_failure(
                        receiving_mx_helo="mx1.mail.company-y.example",
                        additional_information="https://reports.company-x.example/?id=1#x",
                        failure_reason_code="X509_V_ERR_CERT_HAS_EXPIRED",
                    )
                ]
            )
        ]
    ),
)
COMCAST = Form(
    "Comcast, with a member of another name",
    make_document(
        policies=[
            make_result(
                failure_details=[make_failure(failure_error_code="certificate has expired")]
            )
        ]
    ),
    ("policies[0].failure-details[0]",),
)
SOCKETLABS = Form(
    "SocketLabs, which splits a policy and writes host-name",
    make_document(
        policies=[
            make_result(
                failure_details=[
                    make_failure(
                        receiving_mx_hostname=...,
                        receiving_mx_host_name="mx1.mail.company-y.example",
                    )
                ]
            ),
            make_result(),
        ]
    ),
    ("policies[0].failure-details[0]",),
)
HALON = Form(
    "Halon, with a text for the policy",
    make_document(policies=[make_result(NO_POLICY | {"policy-string": ""})]),
    ("policies[0].policy.policy-string",),
)
STALWART = Form(
    "Stalwart without a contact",
    make_document(**{"contact-info": None}),
    ("contact-info",),
)
POSTFIX = Form(
    "Postfix with tlsrpt-reporter, without a policy domain, with a whole EHLO reply",
    make_document(
        policies=[
            make_result(
                NO_POLICY | {"policy-domain": ...},
                failure_details=[
                    make_failure(receiving_mx_helo="250-mx1.company-y.example\r\n250 SIZE 1\r\n")
                ],
            )
        ]
    ),
    ("policies[0].policy.policy-domain",),
)
PERL = Form(
    "Perl's Mail::TLSRPT, with an empty mx-host",
    make_document(policies=[make_result({"mx-host": ""})]),
    ("policies[0].policy.mx-host",),
)
NCSC = Form(
    "NCSC's test, with a host in brackets",
    make_document(policies=[make_result({"mx-host": "[mx1.company-y.example]"})]),
    ("policies[0].policy.mx-host", "policies[0].policy.mx-host"),
)
FORMS = (
    *(GOOGLE, GOOGLE_NO_POLICY, GOOGLE_CR, GOOGLE_2019, MICROSOFT, MAIL_RU, YAHOO, COMCAST),
    *(SOCKETLABS, HALON, STALWART, POSTFIX, PERL, NCSC),
)

APPENDIX_B = b"""{
     "organization-name": "Company-X",
     "date-range": {
       "start-datetime": "2016-04-01T00:00:00Z",
       "end-datetime": "2016-04-01T23:59:59Z"
     },
     "contact-info": "sts-reporting@company-x.example",
     "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
     "policies": [{
       "policy": {
         "policy-type": "sts",
         "policy-string": ["version: STSv1","mode: testing",
               "mx: *.mail.company-y.example","max_age: 86400"],
         "policy-domain": "company-y.example",
         "mx-host": "*.mail.company-y.example"
       },
       "summary": {
         "total-successful-session-count": 5326,
         "total-failure-session-count": 303
       },
       "failure-details": [{
         "result-type": "certificate-expired",
         "sending-mta-ip": "2001:db8:abcd:0012::1",
         "receiving-mx-hostname": "mx1.mail.company-y.example",
         "failed-session-count": 100
       }, {
         "result-type": "starttls-not-supported",
         "sending-mta-ip": "2001:db8:abcd:0013::1",
         "receiving-mx-hostname": "mx2.mail.company-y.example",
         "receiving-ip": "203.0.113.56",
         "failed-session-count": 200,
         "additional-information": "https://reports.company-x.example/
           report_info ? id = 5065427 c - 23 d3# StarttlsNotSupported "
       }, {
         "result-type": "validation-failure",
         "sending-mta-ip": "198.51.100.62",
         "receiving-ip": "203.0.113.58",
         "receiving-mx-hostname": "mx-backup.mail.company-y.example",
         "failed-session-count": 3,
         "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
       }]
     }]
   }
"""
"""RFC 8460 §B, as it is printed, with the line end within a string."""
