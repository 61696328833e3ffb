"""Values of the properties issue, issuewild and issuemail: an issuer's domain, and parameters.

RFC 8659 §4.2 (the grammar; §4.3 and RFC 9495 §3 take it over). What parameters mean is for
`limits`; what follows for a certificate is for `decide`.
"""

import re
from dataclasses import dataclass

# label = (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT)); `tag` is the same.
_LABEL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
# value = *(%x21-3A / %x3C-7E)
_VALUE = re.compile(rb"[!-:<-~]*")
_WSP = b" \t"


@dataclass(frozen=True, slots=True)
class IssueValue:
    """A value in good form. `issuer` is as written, empty where nobody is named."""

    issuer: str
    parameters: tuple[tuple[str, str], ...] = ()
    """Names and values as written, in their order, doubles too."""

    def find(self, name: str) -> tuple[str, ...]:
        """Give all values of a parameter, whose name counts in any case (ours: RFCs don't say)."""
        return tuple(value for each, value in self.parameters if each.lower() == name)

    def __str__(self) -> str:
        """As it is written in a record."""
        parameters = "; ".join(f"{name}={value}" for name, value in self.parameters)
        return f"{self.issuer}; {parameters}" if parameters else self.issuer or ";"


@dataclass(frozen=True, slots=True)
class MalformedValue:
    """A value that breaks the grammar: it names nobody (RFC 8659 §4.2). `reason` says where."""

    reason: str


def parse_issue_value(value: bytes) -> IssueValue | MalformedValue:
    """Read a value by the grammar, and by nothing but the grammar.

    issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
    """
    domain, _, rest = value.partition(b";")
    domain = domain.strip(_WSP)
    if domain and not all(_LABEL.fullmatch(label) for label in domain.split(b".")):
        return MalformedValue("what stands first is no domain name")
    if not rest.strip(_WSP):
        return IssueValue(domain.decode("ascii"))
    parameters: list[tuple[str, str]] = []
    # parameters = (parameter *WSP ";" *WSP parameters) / parameter
    for text in rest.split(b";"):
        parameter = _parse_parameter(text.strip(_WSP))
        if isinstance(parameter, MalformedValue):
            return parameter
        parameters.append(parameter)
    return IssueValue(domain.decode("ascii"), tuple(parameters))


def _parse_parameter(text: bytes) -> tuple[str, str] | MalformedValue:
    """Read `tag *WSP "=" *WSP value`, without the space around it."""
    if not text:
        return MalformedValue("a parameter is empty")
    name, equals, value = text.partition(b"=")
    name, value = name.rstrip(_WSP), value.lstrip(_WSP)
    if not equals:
        return MalformedValue("a parameter has no equals sign")
    if not _LABEL.fullmatch(name):
        return MalformedValue("a parameter's name has other characters than letters and digits")
    if not _VALUE.fullmatch(value):
        return MalformedValue("a parameter's value has a space or other odd characters in it")
    return name.decode("ascii"), value.decode("ascii")
