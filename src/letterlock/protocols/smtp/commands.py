"""SMTP commands as a server reads them: one line to one value.

RFC 5321 §4.1.1 and §4.1.2; RFC 3030 §2 (BDAT); RFC 3207 §4 (STARTTLS); RFC 4954 §4 (AUTH). A line
that is no good command becomes `Rejected` with its reply. Which command may come when is the
session's business.
One liberty: spaces after the colon of `MAIL FROM: <a@b>` are taken, as Postfix does.
"""

import re
from collections.abc import Callable
from typing import ClassVar

from msgspec import Struct

from letterlock.protocols.smtp.parameters import (
    MailParameters,
    ParameterError,
    RcptParameters,
    parse_mail_parameters,
    parse_rcpt_parameters,
)
from letterlock.protocols.smtp.paths import (
    AddressError,
    Mailbox,
    parse_forward_path,
    parse_reverse_path,
)
from letterlock.protocols.smtp.replies import Reply, reply

MAX_CHUNK_DIGITS = 18
"""More would not be a number of octets that anybody sends."""

# RFC 5321 §4.1.1.1: Domain / address-literal. Looser, since nothing is decided by it: underscores
# and bare addresses are common and harmless; anything that could upset a header is not taken. Mail
# programs say the name of their computer, in any script, or its address with the zone (`%en0`), and
# can be told nothing else: those characters become `?`.
_HELLO_NAME = re.compile(r"[A-Za-z0-9._:\[\]%\x80-\U0010ffff-]{1,255}\Z")
_NOT_IN_HELLO = re.compile(r"[^!-$&-~]")
# RFC 5321 §4.1.2: Path. A quoted local part may hold spaces and angle brackets.
_PATH = r'(<(?:[^"<>]++|"(?:[^"\\]|\\.)*+")*+>)(?: +(.*))?\Z'
_MAIL_ARGUMENTS = re.compile(f"FROM: *{_PATH}", re.IGNORECASE)
_RCPT_ARGUMENTS = re.compile(f"TO: *{_PATH}", re.IGNORECASE)
# RFC 3030 §2: chunk-size [SP end-marker].
_BDAT_ARGUMENTS = re.compile(rf"([0-9]{{1,{MAX_CHUNK_DIGITS}}})( +LAST)?\Z", re.IGNORECASE)
# RFC 4954 §4: AUTH mechanism [initial-response]; RFC 4422 §3.1: mechanism names.
_AUTH_ARGUMENTS = re.compile(r"([A-Za-z0-9_-]{1,20})(?: +([A-Za-z0-9+/=]+))?\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HELLOS = ("EHLO", "HELO")
_NOT_IN_VERB = re.compile(r"[^A-Z0-9-]")


class Ehlo(Struct, frozen=True):
    """`name` is as the client gave it, of letters, digits and `._:[]-` only, `?` for all others."""

    verb: ClassVar[str] = "EHLO"
    name: str


class Helo(Struct, frozen=True):
    verb: ClassVar[str] = "HELO"
    name: str


class Mail(Struct, frozen=True):
    """`sender` is None for the null reverse-path."""

    verb: ClassVar[str] = "MAIL"
    sender: Mailbox | None
    parameters: MailParameters


class Rcpt(Struct, frozen=True):
    """`mailbox` is None for `<Postmaster>` without a domain."""

    verb: ClassVar[str] = "RCPT"
    mailbox: Mailbox | None
    parameters: RcptParameters


class Data(Struct, frozen=True):
    verb: ClassVar[str] = "DATA"


class Bdat(Struct, frozen=True):
    verb: ClassVar[str] = "BDAT"
    octets: int
    is_last: bool


class Rset(Struct, frozen=True):
    verb: ClassVar[str] = "RSET"


class Noop(Struct, frozen=True):
    verb: ClassVar[str] = "NOOP"


class Quit(Struct, frozen=True):
    verb: ClassVar[str] = "QUIT"


class Vrfy(Struct, frozen=True):
    verb: ClassVar[str] = "VRFY"


class Help(Struct, frozen=True):
    verb: ClassVar[str] = "HELP"


class StartTls(Struct, frozen=True):
    verb: ClassVar[str] = "STARTTLS"


class Auth(Struct, frozen=True):
    """`mechanism` in upper case; `initial` is the initial response in base64, None for none."""

    verb: ClassVar[str] = "AUTH"
    mechanism: str
    initial: str | None = None


class Xclient(Struct, frozen=True):
    """`arguments` are read where it is known whether the client may say so at all."""

    verb: ClassVar[str] = "XCLIENT"
    arguments: str


class Xforward(Struct, frozen=True):
    """As Xclient."""

    verb: ClassVar[str] = "XFORWARD"
    arguments: str


class Rejected(Struct, frozen=True):
    """A line that is not a command we take, with the reply that says why."""

    verb: str
    reply: Reply


Command = (
    Ehlo
    | Helo
    | Mail
    | Rcpt
    | Data
    | Bdat
    | Rset
    | Noop
    | Quit
    | Vrfy
    | Help
    | StartTls
    | Auth
    | Xclient
    | Xforward
    | Rejected
)


def parse_command(line: bytes, *, may_be_unicode: bool = False) -> Command:
    """Parse a command line without its CRLF; never raises for what is in it.

    `may_be_unicode`: the transaction was begun with SMTPUTF8, so RCPT may hold UTF-8.
    """
    if (whole := _WHOLE_LINES.get(line)) is not None:
        return whole
    try:
        # Trailing white space is tolerated (RFC 5321 §4.1.1).
        text = line.decode().rstrip(" \t")
    except UnicodeDecodeError:
        return _parse_not_utf8(line)
    verb, _, rest = text.partition(" ")
    verb = verb.upper()
    if not text.isprintable() and _CONTROL.search(text):
        verb = _printable_verb(verb)
        return Rejected(verb, reply(500, "5.5.2", "Syntax: control characters in the command"))
    if verb == "RCPT":
        return _parse_rcpt(rest, may_be_unicode=may_be_unicode)
    parse = _PARSERS.get(verb)
    if parse is None:
        return Rejected(_printable_verb(verb), reply(500, "5.5.2", "Command not recognised"))
    return parse(rest)


def _parse_not_utf8(line: bytes) -> Command:
    text = line.decode("latin-1").rstrip(" \t")
    verb = _printable_verb(text[:40])
    if verb in _HELLOS and not _CONTROL.search(text):
        return _PARSERS[verb](text[len(verb) + 1 :])
    return Rejected(verb, reply(500, "5.5.2", "Syntax: the command is not UTF-8"))


def _parse_ehlo(rest: str) -> Command:
    name = rest.strip(" ")
    if not _HELLO_NAME.match(name):
        return _bad_hello("EHLO")
    return Ehlo(_NOT_IN_HELLO.sub("?", name))


def _parse_helo(rest: str) -> Command:
    name = rest.strip(" ")
    if not _HELLO_NAME.match(name):
        return _bad_hello("HELO")
    return Helo(_NOT_IN_HELLO.sub("?", name))


def _bad_hello(verb: str) -> Rejected:
    # RFC 2034 §4: no status code in any response to HELO or EHLO.
    return Rejected(verb, reply(501, None, f"Syntax: {verb} hostname"))


def _parse_mail(rest: str) -> Command:
    match = _MAIL_ARGUMENTS.match(rest.lstrip(" "))
    if match is None:
        return Rejected("MAIL", reply(501, "5.5.4", "Syntax: MAIL FROM:<address>"))
    try:
        given = parse_mail_parameters(match[2] or "")
        sender = parse_reverse_path(match[1], may_be_unicode=given.smtputf8)
    except ParameterError as error:
        return Rejected("MAIL", error.reply)
    except AddressError as error:
        code, status = (550, "5.6.7") if error.is_unicode else (501, "5.1.7")
        return Rejected("MAIL", reply(code, status, f"Bad sender address: {_to_ascii(error)}"))
    return Mail(sender, given)


def _parse_rcpt(rest: str, *, may_be_unicode: bool) -> Command:
    match = _RCPT_ARGUMENTS.match(rest.lstrip(" "))
    if match is None:
        return Rejected("RCPT", reply(501, "5.5.4", "Syntax: RCPT TO:<address>"))
    try:
        given = parse_rcpt_parameters(match[2] or "", may_be_unicode=may_be_unicode)
        mailbox = parse_forward_path(match[1], may_be_unicode=may_be_unicode)
    except ParameterError as error:
        return Rejected("RCPT", error.reply)
    except AddressError as error:
        code, status = (553, "5.6.7") if error.is_unicode else (501, "5.1.3")
        return Rejected("RCPT", reply(code, status, f"Bad recipient address: {_to_ascii(error)}"))
    return Rcpt(mailbox, given)


def _parse_bdat(rest: str) -> Command:
    match = _BDAT_ARGUMENTS.match(rest.strip(" "))
    if match is None:
        return Rejected("BDAT", reply(501, "5.5.4", "Syntax: BDAT octets [LAST]"))
    return Bdat(int(match[1]), match[2] is not None)


def _parse_vrfy(rest: str) -> Command:
    return Vrfy() if rest else Rejected("VRFY", reply(501, "5.5.4", "Syntax: VRFY address"))


def _parse_auth(rest: str) -> Command:
    match = _AUTH_ARGUMENTS.match(rest)
    if match is None:
        return Rejected("AUTH", reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]"))
    return Auth(match[1].upper(), match[2])


def _without_arguments(command: Command) -> Callable[[str], Command]:
    # RFC 5321 §4.3.2: arguments of DATA, RSET and QUIT, and RFC 3207 §4: of STARTTLS, get 501.
    rejected = Rejected(command.verb, reply(501, "5.5.4", f"Syntax: {command.verb}"))
    return lambda rest: rejected if rest else command


def _always(command: Command) -> Callable[[str], Command]:
    return lambda _: command


_PARSERS: dict[str, Callable[[str], Command]] = {
    "EHLO": _parse_ehlo,
    "HELO": _parse_helo,
    "MAIL": _parse_mail,
    "DATA": _without_arguments(Data()),
    "BDAT": _parse_bdat,
    "RSET": _without_arguments(Rset()),
    "QUIT": _without_arguments(Quit()),
    "STARTTLS": _without_arguments(StartTls()),
    "NOOP": _always(Noop()),
    "HELP": _always(Help()),
    "VRFY": _parse_vrfy,
    "EXPN": _always(Rejected("EXPN", reply(502, "5.5.1", "EXPN is not offered"))),
    "AUTH": _parse_auth,
    "XCLIENT": Xclient,
    "XFORWARD": Xforward,
    "TURN": _always(Rejected("TURN", reply(502, "5.5.1", "TURN is not offered"))),
    "ETRN": _always(Rejected("ETRN", reply(502, "5.5.1", "ETRN is not offered"))),
}


# As nearly all clients write them: nothing is to be parsed.
_WHOLE_LINES: dict[bytes, Command] = {
    each.verb.encode(): each for each in (Data(), Quit(), Rset(), Noop(), StartTls())
}


def _printable_verb(text: str) -> str:
    return _NOT_IN_VERB.sub("?", text.partition(" ")[0].upper())[:20]


def _to_ascii(error: AddressError) -> str:
    # It quotes the client; replies are ASCII (RFC 5321 §4.2).
    return str(error).encode("ascii", "replace").decode()
