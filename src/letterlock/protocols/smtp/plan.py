"""Planning a transaction: may this message go to this server, and with which commands.

RFC 5321 §4.1.1.2, §4.1.1.3; RFC 1870 §5 (SIZE); RFC 6152 §3 (8BITMIME); RFC 3030 §3 (BINARYMIME);
RFC 6531 §3.2, §3.5 (SMTPUTF8); RFC 3461 §5.2.1, §5.2.2 (DSN); RFC 8689 §2, §4.2.1 (REQUIRETLS);
RFC 9422 §4 (limits). Content is never converted: a message that the server cannot take as it is
goes back to its sender, as RFC 6152 §3 and RFC 6531 §3.2 allow. Postfix converts 8-bit content
instead; nearly every server offers 8BITMIME, and a conversion breaks signatures. The transaction
itself is in `transaction`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from letterlock.protocols.smtp.capabilities import Capabilities
from letterlock.protocols.smtp.content import ContentFacts
from letterlock.protocols.smtp.envelope import (
    BodyType,
    Envelope,
    Notify,
    Recipient,
    TlsDemand,
)
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.transaction import RecipientCommand, Script, Transaction
from letterlock.protocols.smtp.xtext import (
    ADDRESS_TYPE,
    decode_utf8_address,
    encode_utf8_address,
)

# Nothing that could end a path or a command; addresses were parsed when they came in, and this
# holds if a row of the queue was changed by hand.
_SAFE_PATH = re.compile(r"(?:\"(?:[^\"\\]|\\.)*\"|[^\"<> ])*\Z")
# RFC 3461 §4: esmtp-value without "=" or space; UTF-8 as in RFC 6533 §3.
_ORCPT = re.compile(rf"{ADDRESS_TYPE};[^ =\x00-\x1f\x7f]*\Z")
_ENVID = re.compile(r"[!-<>-~]+\Z")


@dataclass(frozen=True, slots=True)
class TransactionSettings:
    """How we like to send. `prefers_chunking`: BDAT also where DATA would do; Postfix uses DATA."""

    may_pipeline: bool = True
    prefers_chunking: bool = False
    chunk_octets: int = 256 * 1024
    is_lmtp: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The message cannot go to this server, for any of the recipients. `reply` is ours."""

    reply: Reply


def plan(
    envelope: Envelope,
    content: ContentFacts,
    capabilities: Capabilities,
    settings: TransactionSettings | None = None,
    *,
    may_require_tls: bool = False,
) -> Transaction | Refusal:
    """Plan a transaction for all recipients of an envelope.

    A recipient that alone is the reason why the server cannot take it is refused in the result,
    and the others are sent to. `may_require_tls`: in this session REQUIRETLS may be said: it is
    under TLS, with a host whose name and certificate were both proved (RFC 8689 §2).
    """
    settings = settings or TransactionSettings()
    refusal = find_host_refusal(envelope, capabilities, may_require_tls=may_require_tls)
    refusal = refusal or _find_refusal(envelope, content, capabilities)
    if refusal is not None:
        return Refusal(refusal)
    commands = tuple(_rcpt(recipient, capabilities) for recipient in envelope.recipients)
    if all(command.refusal is not None for command in commands):
        return Refusal(commands[0].refusal or _NO_RECIPIENT)
    is_binary = _body_type(envelope, content) is BodyType.BINARY
    is_chunked = is_binary or (settings.prefers_chunking and capabilities.chunking)
    return Transaction(
        Script(
            mail=_mail(envelope, content, capabilities, may_require_tls=may_require_tls),
            recipients=commands,
            is_pipelined=settings.may_pipeline and capabilities.pipelining,
            chunk_octets=settings.chunk_octets if is_chunked else 0,
            is_binary=is_binary,
            is_lmtp=settings.is_lmtp,
            has_dsn=capabilities.dsn,
        )
    )


def find_host_refusal(
    envelope: Envelope, capabilities: Capabilities, *, may_require_tls: bool
) -> Reply | None:
    """Say why this host must not have the message; another host of the next hop may.

    RFC 8689 §4.2.1: it fails for good when none may. But a notification, which nobody would miss
    if it got lost, goes on without REQUIRETLS as well (RFC 8689 §5).
    """
    if envelope.tls_demand is not TlsDemand.REQUIRETLS or not envelope.sender:
        return None
    if not may_require_tls:
        return _NO_ENCRYPTION
    return None if capabilities.requiretls else _NO_REQUIRETLS


def must_scan(envelope: Envelope, capabilities: Capabilities) -> bool:
    """Say whether the plan depends on what only a look through the whole content can tell."""
    has_eight_bit = envelope.body_type is BodyType.EIGHT_BIT and not capabilities.eightbitmime
    return has_eight_bit or (envelope.smtputf8 and not capabilities.smtputf8)


def split_recipients(
    recipients: Iterable[Recipient], capabilities: Capabilities, maximum: int
) -> list[tuple[Recipient, ...]]:
    """Divide recipients into groups, one for each transaction, in their order.

    `maximum` is ours (RFC 5321 §4.5.3.1.8: a server takes at least 100); the server's limits, as
    far as it says them, hold as well (RFC 9422 §4.2, §4.3).
    """
    limits = capabilities.limits
    most = min(maximum, limits.rcpt_max or maximum)
    groups: list[tuple[Recipient, ...]] = []
    group: list[Recipient] = []
    domains: set[str] = set()
    for recipient in recipients:
        domain = recipient.address.rpartition("@")[2].lower()
        has_too_many_domains = (
            limits.rcpt_domain_max is not None
            and domain not in domains
            and len(domains) >= limits.rcpt_domain_max
        )
        if group and (len(group) >= most or has_too_many_domains):
            groups.append(tuple(group))
            group, domains = [], set()
        group.append(recipient)
        domains.add(domain)
    return [*groups, tuple(group)] if group else groups


_NO_RECIPIENT = reply(554, "5.1.0", "no recipients")
# RFC 8689 §4.2.1 and §7.
_NO_REQUIRETLS = reply(
    554, "5.7.30", "REQUIRETLS support required, and the server does not offer it"
)
_NO_ENCRYPTION = reply(554, "5.7.10", "encryption needed: REQUIRETLS, and the host was not proved")


def _find_refusal(
    envelope: Envelope, content: ContentFacts, capabilities: Capabilities
) -> Reply | None:
    """Find why the server cannot take this message for anyone."""
    if not envelope.recipients:
        return _NO_RECIPIENT
    if not _is_safe_path(envelope.sender):
        return reply(550, "5.1.7", "the sender address cannot be sent")
    if capabilities.size is not None and content.size > capabilities.size:
        return reply(
            552,
            "5.3.4",
            f"message size {content.size} exceeds size limit {capabilities.size} of the server",
        )
    return _find_body_refusal(envelope, content, capabilities) or _find_utf8_refusal(
        envelope, content, capabilities
    )


def _find_body_refusal(
    envelope: Envelope, content: ContentFacts, capabilities: Capabilities
) -> Reply | None:
    match _body_type(envelope, content):
        case BodyType.EIGHT_BIT if not capabilities.eightbitmime:
            return reply(554, "5.6.3", "8-bit content, and the server does not offer 8BITMIME")
        case BodyType.BINARY if not capabilities.binarymime:
            return reply(554, "5.6.3", "binary content, and the server does not offer BINARYMIME")
        case _:
            return None


def _find_utf8_refusal(
    envelope: Envelope, content: ContentFacts, capabilities: Capabilities
) -> Reply | None:
    if capabilities.smtputf8:
        return None
    if not envelope.sender.isascii():
        return reply(
            550, "5.6.7", "the sender address is not ASCII, and the server does not offer SMTPUTF8"
        )
    # Else each recipient is refused for its address, which says more.
    may_any_go = any(recipient.address.isascii() for recipient in envelope.recipients)
    if may_any_go and envelope.smtputf8 and content.has_utf8_headers:
        return reply(
            554, "5.6.9", "the header is not ASCII, and the server does not offer SMTPUTF8"
        )
    return None


def _body_type(envelope: Envelope, content: ContentFacts) -> BodyType:
    """Give what is to be declared: many clients say 8BITMIME whatever they send."""
    if envelope.body_type is BodyType.EIGHT_BIT and content.is_seven_bit:
        return BodyType.SEVEN_BIT
    return envelope.body_type


def _mail(
    envelope: Envelope, content: ContentFacts, capabilities: Capabilities, *, may_require_tls: bool
) -> str:
    line = f"MAIL FROM:<{envelope.sender}>"
    if capabilities.has_size:
        line += f" SIZE={content.size}"
    body_type = _body_type(envelope, content)
    if body_type is not BodyType.SEVEN_BIT:
        line += f" BODY={body_type}"
    if capabilities.smtputf8 and _needs_smtputf8(envelope, content):
        line += " SMTPUTF8"
    if capabilities.dsn:
        if envelope.ret is not None and envelope.sender:  # RFC 3461 §6.1: not with a DSN
            line += f" RET={envelope.ret}"
        if envelope.envid is not None and _ENVID.match(envelope.envid):
            line += f" ENVID={envelope.envid}"
    if envelope.tls_demand is TlsDemand.REQUIRETLS and may_require_tls and capabilities.requiretls:
        line += " REQUIRETLS"
    return line


def _needs_smtputf8(envelope: Envelope, content: ContentFacts) -> bool:
    addresses = (envelope.sender, *(recipient.address for recipient in envelope.recipients))
    if not all(address.isascii() for address in addresses):
        return True
    return envelope.smtputf8 and content.has_utf8_headers


def _rcpt(recipient: Recipient, capabilities: Capabilities) -> RecipientCommand:
    address = recipient.address
    if not address or not _is_safe_path(address):
        return RecipientCommand(recipient, "", reply(553, "5.1.3", "the address cannot be sent"))
    if not (address.isascii() or capabilities.smtputf8):
        # RFC 6531 §3.5; domains are A-labels already, so it is the local part.
        text = "the address is not ASCII, and the server does not offer SMTPUTF8"
        return RecipientCommand(recipient, "", reply(553, "5.6.7", text))
    line = f"RCPT TO:<{address}>"
    if capabilities.dsn:
        line += _dsn_parameters(recipient, capabilities)
    return RecipientCommand(recipient, line)


def _dsn_parameters(recipient: Recipient, capabilities: Capabilities) -> str:
    """RFC 3461 §5.2.1: what came with the message, unchanged, and nothing that did not."""
    parameters = ""
    if recipient.notify:
        words = [word for word in Notify if word in recipient.notify]
        parameters += f" NOTIFY={','.join(words)}"
    if recipient.orcpt is not None and _ORCPT.match(recipient.orcpt):
        parameters += f" ORCPT={_fit_orcpt(recipient.orcpt, capabilities)}"
    return parameters


def _fit_orcpt(orcpt: str, capabilities: Capabilities) -> str:
    """RFC 6533 §3: UTF-8 goes only to servers that offer SMTPUTF8; others get it encoded."""
    if orcpt.isascii() or capabilities.smtputf8:
        return orcpt
    kind, _, address = orcpt.partition(";")
    return f"{kind};{encode_utf8_address(decode_utf8_address(address))}"


def _is_safe_path(path: str) -> bool:
    return path.isprintable() and _SAFE_PATH.match(path) is not None
