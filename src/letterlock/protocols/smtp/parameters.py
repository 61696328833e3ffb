"""The parameters of MAIL FROM and RCPT TO: text after the path to values.

RFC 5321 §4.1.1.11 and §4.1.2 (syntax, 555), RFC 1870 §6 (SIZE), RFC 6152 §2 (BODY), RFC 6531 §3.4
(SMTPUTF8), RFC 3461 §4 (RET, ENVID, NOTIFY, ORCPT), RFC 6533 §3 (ORCPT's utf-8 type), RFC 8689 §2
(REQUIRETLS), RFC 4954 §5 (AUTH). BODY=BINARYMIME belongs to an extension that is not offered: 555.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from letterlock.protocols.smtp.envelope import BodyType, Notify, Ret
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.xtext import (
    ADDRESS_TYPE,
    XtextError,
    decode_utf8_address,
    decode_utf8_xtext,
    decode_xtext,
    encode_utf8_address,
)

MAX_ENVID_OCTETS = 100
"""RFC 3461 §4.4."""
MAX_ORCPT_OCTETS = 500
"""RFC 3461 §4.2."""

# RFC 5321 §4.1.2: esmtp-keyword and esmtp-value, which RFC 6531 §3.3 extends by UTF8-non-ascii.
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?\Z")
_UTF8_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?\Z")
# RFC 1870 §4: size-value = 1*20DIGIT.
_SIZE = re.compile(r"[0-9]{1,20}\Z")
# RFC 3461 §4.2: "printable (graphic and white space)".
_PRINTABLE = re.compile(r"[\t -~]*\Z")
_ADDRESS_TYPE = re.compile(rf"{ADDRESS_TYPE}\Z")
# RFC 6533 §3: HEXPOINT, but that what is decoded is looked at afterwards.
_HEXPOINT = (
    "[0-9A-F]{2}|[1-9A-F][0-9A-F]{2}|(?:[1-9A-CEF][0-9A-F]|D[0-7])[0-9A-F]{2}"
    "|[1-9A-F][0-9A-F]{4}|10[0-9A-F]{4}"
)
# RFC 6533 §3: 1*(QUCHAR / EmbeddedUnicodeChar).
_UTF8_ADDRESS = re.compile(rf"(?:[!-*,-<>-\[\]-~\u0080-\U0010ffff]|\\x\{{(?:{_HEXPOINT})\}})+\Z")
# No control characters, nor what else ends a line in str.
_PRINTABLE_UNICODE = re.compile(r"[ -~\u00a0-\u2027\u202a-\U0010ffff]*\Z")


class ParameterError(ValueError):
    """Parameters are wrong; `reply` is what the client is told."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.text)
        self.reply = answer


class MailParameters(Struct, frozen=True):
    """What came after the reverse-path. `size` in octets, None when not told.

    `has_auth`: there was an AUTH parameter. Its value counts for nothing: RFC 4954 §5 lets us trust
    nobody.
    """

    size: int | None = None
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    requiretls: bool = False
    has_auth: bool = False


class RcptParameters(Struct, frozen=True):
    """What came after the forward-path. `orcpt` as it came, `addr-type;xtext`, its type mended."""

    notify: frozenset[Notify] = frozenset()
    orcpt: str | None = None


def parse_mail_parameters(text: str) -> MailParameters:
    """Parse what follows MAIL's path. Raises ParameterError."""
    if not text:
        return _NO_MAIL_PARAMETERS
    given = _split(text, _MAIL_KEYWORDS, _PARAMETER)
    return MailParameters(
        size=_parse_size(given["SIZE"]) if "SIZE" in given else None,
        body_type=_parse_body(given["BODY"]) if "BODY" in given else BodyType.SEVEN_BIT,
        smtputf8="SMTPUTF8" in given and _parse_bare("SMTPUTF8", given),
        ret=_parse_ret(given["RET"]) if "RET" in given else None,
        envid=_parse_envid(given["ENVID"]) if "ENVID" in given else None,
        requiretls="REQUIRETLS" in given and _parse_bare("REQUIRETLS", given),
        has_auth="AUTH" in given and _parse_submitter(given["AUTH"]),
    )


def parse_rcpt_parameters(text: str, *, may_be_unicode: bool) -> RcptParameters:
    """Parse what follows RCPT's path. Raises ParameterError."""
    if not text:
        return _NO_RCPT_PARAMETERS
    given = _split(text, _RCPT_KEYWORDS, _UTF8_PARAMETER if may_be_unicode else _PARAMETER)
    return RcptParameters(
        notify=_parse_notify(given["NOTIFY"]) if "NOTIFY" in given else frozenset(),
        orcpt=_parse_orcpt(given["ORCPT"]) if "ORCPT" in given else None,
    )


_NO_MAIL_PARAMETERS = MailParameters()
_NO_RCPT_PARAMETERS = RcptParameters()
_MAIL_KEYWORDS = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "REQUIRETLS", "AUTH"})
_BODY_TYPES = {body_type.value: body_type for body_type in BodyType}
_RCPT_KEYWORDS = frozenset({"NOTIFY", "ORCPT"})


def _split(text: str, known: frozenset[str], syntax: re.Pattern[str]) -> dict[str, str]:
    """Give each parameter's value by its keyword; no value is ""."""
    given: dict[str, str] = {}
    for item in text.split(" "):
        if not item:
            continue
        match = syntax.match(item)
        if match is None:
            raise _bad("a parameter is KEYWORD or KEYWORD=value")
        keyword = match[1].upper()
        if keyword not in known:
            raise ParameterError(reply(555, "5.5.4", f"Parameter {keyword[:40]} is not known here"))
        if keyword in given:
            raise _bad(f"{keyword} is given twice")
        given[keyword] = match[2] or ""
    return given


def _parse_size(value: str) -> int:
    if not _SIZE.match(value):
        raise _bad("SIZE is a number of octets")
    return int(value)


def _parse_body(value: str) -> BodyType:
    body_type = _BODY_TYPES.get(value.upper())
    if body_type is None:
        raise _bad("BODY is 7BIT or 8BITMIME")
    if body_type is BodyType.BINARY:
        # RFC 5321 §4.1.1.11: a value whose extension is not offered cannot be implemented.
        raise ParameterError(reply(555, "5.5.4", "BODY=BINARYMIME is not offered"))
    return body_type


def _parse_bare(keyword: str, given: Mapping[str, str]) -> bool:
    """RFC 6531 §3.4, RFC 8689 §2: no value is associated with it."""
    if given[keyword]:
        raise _bad(f"{keyword} takes no value")
    return True


def _parse_submitter(value: str) -> bool:
    """RFC 4954 §5: a mailbox in xtext, or `<>`."""
    try:
        submitter = decode_xtext(value)
        if submitter != "<>":
            parse_mailbox(submitter, may_be_unicode=False)
    except (XtextError, AddressError):
        raise _bad("AUTH is a mailbox in xtext, or <>") from None
    return True


def _parse_ret(value: str) -> Ret:
    try:
        return Ret(value.upper())
    except ValueError:
        raise _bad("RET is FULL or HDRS") from None


def _parse_envid(value: str) -> str:
    if not value or len(value) > MAX_ENVID_OCTETS or not _is_printable_xtext(value):
        raise _bad(f"ENVID is xtext of at most {MAX_ENVID_OCTETS} octets")
    return value


def _parse_notify(value: str) -> frozenset[Notify]:
    try:
        notify = frozenset(Notify(word) for word in value.upper().split(","))
    except ValueError:
        raise _bad("NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY") from None
    if Notify.NEVER in notify and len(notify) > 1:
        raise _bad("NOTIFY=NEVER stands alone")
    return notify


def _parse_orcpt(value: str) -> str:
    value = _name_utf8(value)
    address_type, _, address = value.partition(";")
    if len(value.encode()) > MAX_ORCPT_OCTETS:
        raise _bad(f"ORCPT has at most {MAX_ORCPT_OCTETS} octets")
    is_utf8 = address_type.lower() == "utf-8"
    is_valid = _is_utf8_address if is_utf8 else _is_printable_xtext
    if not _ADDRESS_TYPE.match(address_type) or not address or not is_valid(address):
        raise _bad("ORCPT is an address type, a semicolon and an encoded address")
    return value


def _name_utf8(orcpt: str) -> str:
    """Give an address that is UTF-8 under the type rfc822 the type it has (RFC 6533 §3).

    RFC 3461 §4.2 has ASCII in xtext only, but Postfix sends addresses that need SMTPUTF8 so; to
    refuse it is to refuse all such mail.
    """
    address_type, _, address = orcpt.partition(";")
    if address_type.lower() != "rfc822":
        return orcpt
    try:
        decoded = decode_utf8_xtext(address)
    except XtextError:
        return orcpt
    return orcpt if decoded.isascii() else f"utf-8;{encode_utf8_address(decoded)}"


def _is_printable_xtext(value: str) -> bool:
    try:
        return _PRINTABLE.match(decode_xtext(value)) is not None
    except XtextError:
        return False


def _is_utf8_address(value: str) -> bool:
    if not _UTF8_ADDRESS.match(value):
        return False
    return _PRINTABLE_UNICODE.match(decode_utf8_address(value)) is not None


def _bad(rule: str) -> ParameterError:
    return ParameterError(reply(501, "5.5.4", f"Syntax: {rule}"))
