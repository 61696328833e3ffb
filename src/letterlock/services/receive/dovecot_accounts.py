"""Dovecot's accounts, as what logins are checked against: it has the passwords.

What an account may send as is in our own account of its name, if there is one.
"""

from collections.abc import Sequence
from typing import Protocol, assert_never

from letterlock.base.domains import Domain
from letterlock.protocols.sasl.dovecot import Accepted, Answer, Denied, NotAnswered
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.preparation import PreparationError, prepare_name, unify_name
from letterlock.protocols.sasl.scram import ScramVerifier
from letterlock.protocols.smtp.own_addresses import parse_own_address
from letterlock.protocols.smtp.paths import AddressError
from letterlock.services.receive.logins import Account, SourceUnavailable
from letterlock.services.receive.own_accounts import make_account
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.users import UserStore


class PasswordService(Protocol):
    """What is needed of `network.dovecot_auth`."""

    async def ask(self, name: str, password: str, ip: str) -> Answer: ...


class DovecotAccounts:
    """Fulfils `logins.AccountSource`. `domains` are ours, for names without one."""

    mechanisms = (Mechanism.PLAIN, Mechanism.LOGIN)

    def __init__(
        self, service: PasswordService, users: UserStore, domains: Sequence[Domain]
    ) -> None:
        self._service = service
        self._users = users
        self._domains = domains

    async def check_password(self, name: str, password: str, ip: str) -> str | None:
        answer = await self._service.ask(name, password, ip)
        match answer:
            case Accepted(user):
                try:
                    return prepare_name(user)
                except PreparationError as error:
                    raise SourceUnavailable(f"Dovecot's name of {name}: {error}") from None
            case Denied():
                return None
            case NotAnswered(reason):
                raise SourceUnavailable(f"Dovecot: {reason}")
            case _:
                assert_never(answer)

    async def find_verifier(self, name: str) -> ScramVerifier:
        raise SourceUnavailable(f"{name}: Dovecot does not tell what SCRAM needs")

    async def find_account(self, name: str) -> Account | None:
        try:
            user = await self._users.find_user(unify_name(name))
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        if user is not None:
            return None if user.is_disabled else make_account(user)
        return Account(name, frozenset(self._list_addresses(name)))

    def _list_addresses(self, name: str) -> list[str]:
        names = [name] if "@" in name else [f"{name}@{domain}" for domain in self._domains]
        try:
            return [parse_own_address(each) for each in names]
        except AddressError:
            return []
