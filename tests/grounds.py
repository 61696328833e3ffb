"""The audit log of a certificate that rests on all that it must, for tests to take parts away."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from letterlock.protocols.audit.decisions import (
    CaaLogged,
    Decision,
    LintLogged,
    LoggedAnswer,
    LoggedCaaLook,
    LoggedLook,
    NameBasis,
    OrderLogged,
    RequestLogged,
    SerialLogged,
    SigningLogged,
    ValidationLogged,
)
from letterlock.protocols.audit.evidence import Logged, SignedCertificate
from tests.audit_entries import NOW

ACCOUNT, ORDER, SERIAL = "account-1", "order-1", "0a1b"
DIGEST, DRAFT = "cc" * 32, "dd" * 32
METHOD = "dns-01"


def look_at(name: str, began: datetime, asked: str | None = None) -> LoggedCaaLook:
    """A look at CAA that found nothing up to the top; `asked` is what the answers are about."""
    labels = (asked or name).removeprefix("*.").split(".")
    lookups = tuple(
        LoggedAnswer(".".join(labels[start:]), "CAA", "secure", "nodata")
        for start in range(len(labels))
    )
    return LoggedCaaLook(
        name, began, "allow", "no-records", "nothing there", lookups, ("acct",), METHOD
    )


def validation_of(name: str, look: LoggedCaaLook | None) -> ValidationLogged:
    seen = LoggedLook("here", "RIPE NCC", ("asked",), ())
    looks = () if look is None else (look,)
    return ValidationLogged(f"authz-{name}", ACCOUNT, name, METHOD, (seen,), looks)


@dataclass
class Grounds:
    """What is in the log of an order for some names; each part can be replaced or emptied."""

    names: tuple[str, ...]
    signed: datetime = NOW
    proved: datetime = NOW - timedelta(minutes=5)
    recheck: CaaLogged | None = None
    request: RequestLogged | None = field(default_factory=lambda: RequestLogged(ORDER, "ee" * 32))
    serial: SerialLogged | None = field(
        default_factory=lambda: SerialLogged(ORDER, SERIAL, "issuer", "server")
    )
    lint: LintLogged | None = field(default_factory=lambda: LintLogged(ORDER, DRAFT, "pkilint"))
    is_signed: bool = True
    account: str = ACCOUNT

    def __post_init__(self) -> None:
        self.validations = {
            name: validation_of(name, look_at(name, self.proved)) for name in self.names
        }
        self.ordered = self.names

    @property
    def certificate(self) -> SignedCertificate:
        return SignedCertificate(ORDER, ACCOUNT, SERIAL, self.names, DIGEST, DRAFT)

    @property
    def order_log(self) -> Sequence[Logged]:
        ids = tuple(f"authz-{name}" for name in self.ordered)
        order = OrderLogged(ORDER, self.account, self.ordered, ids)
        basis = tuple(NameBasis(name, f"authz-{name}") for name in self.names)
        signing = SigningLogged(
            ORDER, ACCOUNT, SERIAL, "issuer", DIGEST, DRAFT, self.signed, self.signed, basis
        )
        parts: list[Decision | None] = [order, self.request, self.recheck, self.serial, self.lint]
        if self.is_signed:
            parts.append(signing)
        present = [each for each in parts if each is not None]
        return [Logged(1000 + at, self.signed, each) for at, each in enumerate(present)]

    @property
    def authorization_logs(self) -> dict[str, Sequence[Logged]]:
        return {
            f"authz-{name}": [Logged(10 + at, self.proved, each)]
            for at, (name, each) in enumerate(self.validations.items())
        }
