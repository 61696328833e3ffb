"""Our own accounts, as what logins are checked against: `letterlock user` keeps them."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.password_hash import DECOY_HASH, is_password
from letterlock.protocols.sasl.preparation import unify_name
from letterlock.protocols.sasl.scram import ScramVerifier, make_decoy
from letterlock.services.receive.logins import Account, SourceUnavailable
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.users import User, UserStore

THREADS = 2
"""So many passwords are hashed at once in a process, 19 MiB for each."""
MAX_WAITING = 100
"""So many wait for it: some seconds' work. Others are told to come again."""
_SECRET_OCTETS = 32


class PasswordChecks:
    """Hashes passwords in threads of their own: the session of others go on meanwhile."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self.waiting = 0

    async def is_password(self, prepared: str, password_hash: str) -> bool:
        """Say whether it fits. Raises SourceUnavailable when too many are asked at once."""
        if self.waiting >= MAX_WAITING:
            raise SourceUnavailable("too many logins at once")
        self.waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, is_password, prepared, password_hash)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class OwnAccounts:
    """Fulfils `logins.AccountSource`."""

    mechanisms = tuple(Mechanism)

    def __init__(self, users: UserStore, checks: PasswordChecks) -> None:
        self._users = users
        self._checks = checks
        self._secret: bytes | None = None

    async def check_password(self, name: str, password: str, ip: str) -> str | None:
        del ip
        user = await self._find(name)
        known = user.password_hash if user is not None else None
        fits = await self._checks.is_password(password, known or DECOY_HASH)
        return name if fits and known is not None else None

    async def find_verifier(self, name: str) -> ScramVerifier:
        # One decoy for all forms of a name: else two that differ say that there is no account.
        name = unify_name(name)
        user = await self._find(name)
        if self._secret is None:
            # Loaded for the first login, whoever it is of.
            self._secret = await self._load_secret()
        decoy = make_decoy(self._secret, name)
        return decoy if user is None or user.scram is None else user.scram

    async def find_account(self, name: str) -> Account | None:
        user = await self._find(name)
        return None if user is None else make_account(user)

    async def _find(self, name: str) -> User | None:
        try:
            user = await self._users.find_user(unify_name(name))
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        return None if user is None or user.is_disabled else user

    async def _load_secret(self) -> bytes:
        try:
            return await self._users.load_decoy_secret(secrets.token_bytes(_SECRET_OCTETS))
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error


def make_account(user: User) -> Account:
    """Give an account as a session knows it."""
    return Account(user.name, frozenset(user.addresses), user.max_messages, user.max_recipients)
