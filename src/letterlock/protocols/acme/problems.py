"""Problem documents: what a server says is wrong, with the names it is about.

RFC 8555 §6.7 (types, subproblems), RFC 7807 §3 (members). A server's words are bounded and made
printable here. Never an error: what is no problem document is a problem all the same.
"""

from dataclasses import dataclass

from letterlock.protocols.acme.fields import Fields, ObjectError, format_line, parse_object
from letterlock.protocols.acme.identifiers import Identifier, format_identifier

ERROR_PREFIX = "urn:ietf:params:acme:error:"
MAX_SUBPROBLEMS = 1000
MAX_DETAIL_CHARACTERS = 1000
MAX_ALGORITHMS = 50
UNTYPED = "about:blank"
"""RFC 7807 §4.2: nothing more is known than the HTTP status."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `type` is ACME's word without its prefix (`badNonce`), else the whole URI. `identifier` is there
    only in subproblems. `instance` is where people read more, as for new terms (RFC 8555 §7.3.3).
    """

    type: str
    detail: str = ""
    status: int | None = None
    identifier: Identifier | None = None
    subproblems: tuple["Problem", ...] = ()
    instance: str | None = None
    algorithms: tuple[str, ...] = ()
    """Of `badSignatureAlgorithm`: those that the server knows (RFC 8555 §6.2)."""

    @property
    def summary(self) -> str:
        """One line; the subproblems are not in it."""
        name = f"{self.identifier}: " if self.identifier else ""
        if self.type == UNTYPED and self.detail:
            return f"{name}{self.detail}"
        return f"{name}{self.type}: {self.detail}" if self.detail else f"{name}{self.type}"

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it for people, a line for each name."""
        more = (f"see {self.instance}",) if self.instance else ()
        return (self.summary, *more, *(each.summary for each in self.subproblems))


def parse_problem(status: int, body: bytes) -> Problem:
    """Read the body of a response that is an error."""
    try:
        return read_problem(parse_object(body, "problem document"), status)
    except ObjectError:
        return Problem(UNTYPED, f"HTTP status {status}", status)


def read_problem(fields: Fields, status: int | None = None) -> Problem:
    """Read a problem that stands in another object. Raises ObjectError."""
    subproblems = tuple(_read_one(each) for each in fields.many("subproblems", MAX_SUBPROBLEMS))
    return _read_one(fields, status, subproblems)


def _read_one(
    fields: Fields, status: int | None = None, subproblems: tuple[Problem, ...] = ()
) -> Problem:
    identifier = fields.one("identifier")
    instance = fields.text("instance")
    kind = format_line(fields.text("type") or UNTYPED, MAX_DETAIL_CHARACTERS)
    detail = format_line(fields.text("detail") or "", MAX_DETAIL_CHARACTERS)
    if not detail and status is not None:
        detail = f"HTTP status {status}"
    return Problem(
        type=kind.removeprefix(ERROR_PREFIX),
        detail=detail,
        status=status if status is not None else fields.number("status"),
        identifier=_read_as_written(identifier) if identifier else None,
        subproblems=subproblems,
        instance=format_line(instance, MAX_DETAIL_CHARACTERS) if instance else None,
        algorithms=fields.texts("algorithms", MAX_ALGORITHMS),
    )


def _read_as_written(fields: Fields) -> Identifier:
    """Read an identifier that may be what was refused: an `ip` that is no address, say."""
    kind, value = fields.required_text("type"), fields.required_text("value").lower()
    return Identifier(
        format_line(kind, MAX_DETAIL_CHARACTERS), format_line(value, MAX_DETAIL_CHARACTERS)
    )


def format_problem(problem: Problem) -> dict[str, object]:
    """Make the document. Only subproblems have identifiers (RFC 8555 §6.7.1)."""
    found = _format_one(problem)
    if problem.subproblems:
        found["subproblems"] = [
            _format_one(each) | _format_identifier(each) for each in problem.subproblems
        ]
    return found


def _format_one(problem: Problem) -> dict[str, object]:
    # What is no word of ACME's is a URI already.
    kind = problem.type if ":" in problem.type else f"{ERROR_PREFIX}{problem.type}"
    found: dict[str, object] = {"type": kind}
    if problem.detail:
        found["detail"] = problem.detail
    if problem.status is not None:
        found["status"] = problem.status
    if problem.instance is not None:
        found["instance"] = problem.instance
    if problem.algorithms:
        found["algorithms"] = list(problem.algorithms)
    return found


def _format_identifier(problem: Problem) -> dict[str, object]:
    if problem.identifier is None:
        return {}
    return {"identifier": format_identifier(problem.identifier)}
