"""What a message's header asks of TLS: the field `TLS-Required: No`.

RFC 8689 §3 (the field), §4.1 (it tags the message, unless MAIL asked for REQUIRETLS). The parameter
of MAIL is `parameters`'; what is said to the next host is in `plan`.
"""

import re

from letterlock.protocols.smtp.content import cut_header
from letterlock.protocols.smtp.envelope import TlsDemand

_NAME = b"tls-required"
# RFC 5322 §2.2 and §2.2.3: a field with the lines it is folded over. Space before the colon is of
# the obsolete syntax (RFC 5322 §4.5.8): such a field counts as one, but not as ours.
_FIELD = re.compile(
    rb"^tls-required([ \t]*:[^\n]*+(?:\n[ \t][^\n]*+)*+)", re.IGNORECASE | re.MULTILINE
)
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# requiretls-field = "TLS-Required:" [FWS] "No" CRLF
_NO = re.compile(rb":[ \t]*no\r?\Z", re.IGNORECASE)


def find_tls_demand(asked: TlsDemand, content: bytes) -> TlsDemand:
    """Give a message's tag: what MAIL asked, or else what the header section says.

    `content` is its beginning, with the whole header section, or as much of it as is looked at.
    The field counts exactly as RFC 8689 §3 writes it, and only when there is one: whatever else is
    said asks for nothing, so that TLS is never lowered by mistake.
    """
    if asked is not TlsDemand.NORMAL or _NAME not in content.lower():
        return asked
    fields = _FIELD.findall(cut_header(content))
    is_no = len(fields) == 1 and _NO.match(_FOLD.sub(b"", fields[0]))
    return TlsDemand.TLS_REQUIRED_NO if is_no else asked
