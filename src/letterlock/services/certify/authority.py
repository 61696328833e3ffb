"""One account at one ACME server: what can be asked with it, and the objects that come back.

RFC 8555 §7.3 (accounts), §7.4 (orders), §7.5 (authorizations), §7.6 (revocation); RFC 9773 §4
(renewal information). Each method is one request, and what goes wrong is an AcmeFailed; how they
lead to a certificate is in `issuing`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, TypeVar

from cryptography import x509

from letterlock.network.acme_client import AcmeAnswer, AcmeClient, AcmeFailed
from letterlock.protocols.acme.chains import MEDIA_TYPE, IssuedChain, parse_chain
from letterlock.protocols.acme.directory import Account, Directory, parse_account
from letterlock.protocols.acme.fields import ObjectError, Url
from letterlock.protocols.acme.jws import (
    AccountKey,
    ExternalAccount,
    bind_external_account,
    make_key_change,
)
from letterlock.protocols.acme.orders import (
    Authorization,
    Challenge,
    Order,
    parse_authorization,
    parse_order,
)
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.renewal_info import (
    RenewalInfo,
    find_certificate_id,
    next_look,
    parse_renewal_info,
    renewal_info_url,
)
from letterlock.protocols.acme.requests import (
    OrderRequest,
    RevocationReason,
    format_account,
    format_finalization,
    format_order,
    format_revocation,
)
from letterlock.protocols.acme.states import AccountStatus

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """An object as it was seen, and how long to wait before looking again; None: nothing said."""

    value: T
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator says to an authority. `is_agreed`: to its terms of service.

    `contacts` are `mailto:` URLs.
    """

    contacts: tuple[str, ...] = ()
    is_agreed: bool = False
    external: ExternalAccount | None = None


@dataclass(frozen=True, slots=True)
class RenewalAdvice:
    """What the authority says of renewing one certificate, and in how long to ask again."""

    info: RenewalInfo
    ask_again: timedelta


class Authority:
    """An account with its key. See `open_account`."""

    def __init__(self, client: AcmeClient, key: AccountKey, account: Account) -> None:
        self.key = key
        self.account = account
        self._client = client

    async def order(self, request: OrderRequest) -> Seen[Order] | AcmeFailed:
        """Place an order; a profile that the server has not is not asked for.

        What it `replaces` is told to servers with renewal information alone (RFC 9773 §5).
        """
        directory = await self._client.fetch_directory()
        if isinstance(directory, AcmeFailed):
            return directory
        if request.profile is not None and request.profile not in directory.profiles:
            known = ", ".join(sorted(directory.profiles)) or "none"
            text = f"the authority has no profile {request.profile!r}; it has: {known}"
            return AcmeFailed(text)
        if directory.renewal_info is None:
            request = replace(request, replaces=None)  # RFC 9773 §5
        answer = await self._post(directory.new_order, format_order(request))
        if isinstance(answer, AcmeFailed):
            return answer
        location = answer.location
        if location is None:
            return AcmeFailed(f"{directory.new_order.host}: the new order has no URL")
        return _read(answer, lambda body: parse_order(location, body))

    async def fetch_order(self, url: Url) -> Seen[Order] | AcmeFailed:
        return _read(await self._post(url, None), lambda body: parse_order(url, body))

    async def fetch_authorization(self, url: Url) -> Seen[Authorization] | AcmeFailed:
        return _read(await self._post(url, None), lambda body: parse_authorization(url, body))

    async def deactivate_authorization(self, url: Url) -> Seen[Authorization] | AcmeFailed:
        """Give an authorization up (RFC 8555 §7.5.2)."""
        answer = await self._post(url, {"status": "deactivated"})
        return _read(answer, lambda body: parse_authorization(url, body))

    async def respond(self, challenge: Challenge) -> AcmeAnswer | AcmeFailed:
        """Say that a challenge can be validated now (RFC 8555 §7.5.1)."""
        return await self._post(challenge.url, {})

    async def finalize(
        self, order: Order, request: x509.CertificateSigningRequest
    ) -> Seen[Order] | AcmeFailed:
        answer = await self._post(order.finalize, format_finalization(request))
        return _read(answer, lambda body: parse_order(order.url, body))

    async def download(self, url: Url) -> tuple[IssuedChain, tuple[Url, ...]] | AcmeFailed:
        """Give a chain, and where the same certificate is with others."""
        answer = await self._post(url, None)
        if isinstance(answer, AcmeFailed):
            return answer
        if answer.media_types != (MEDIA_TYPE,):
            return AcmeFailed(f"{url.host}: the certificate does not come as {MEDIA_TYPE}")
        chain = _read(answer, parse_chain)
        return chain if isinstance(chain, AcmeFailed) else (chain.value, answer.alternates)

    async def revoke(
        self,
        certificate: x509.Certificate,
        reason: RevocationReason | None = None,
    ) -> AcmeFailed | None:
        """Revoke with the account's key; None: it is done, or was before."""
        return await revoke(self._client, certificate, reason, self.key, self.account.url)

    async def change_key(self, new: AccountKey) -> "Authority | AcmeFailed":
        """Change the account's key (RFC 8555 §7.3.5); the old one is of no use afterwards.

        Keep both until the answer is there; without one `find_account` says which it is.
        """
        directory = await self._client.fetch_directory()
        if isinstance(directory, AcmeFailed):
            return directory
        inner = make_key_change(self.account.url, directory.key_change, self.key, new)
        answer = await self._post(directory.key_change, inner)
        if isinstance(answer, AcmeFailed):
            return answer
        return Authority(self._client, new, self.account)

    async def deactivate(self) -> AcmeFailed | None:
        """Give the account up for good (RFC 8555 §7.3.6)."""
        answer = await self._post(self.account.url, {"status": "deactivated"})
        return answer if isinstance(answer, AcmeFailed) else None

    async def ask_renewal(self, certificate: x509.Certificate) -> RenewalAdvice | AcmeFailed | None:
        """Ask when to renew; None: this server or certificate has no such thing."""
        directory = await self._client.fetch_directory()
        if isinstance(directory, AcmeFailed):
            return directory
        name = find_certificate_id(certificate)
        if directory.renewal_info is None or name is None:
            return None
        try:
            url = renewal_info_url(directory.renewal_info, name)
        except ObjectError as error:
            return AcmeFailed(str(error))
        seen = _read(await self._client.get(url), parse_renewal_info)
        if isinstance(seen, AcmeFailed):
            return seen
        return RenewalAdvice(seen.value, next_look(seen.retry_after))

    async def _post(self, url: Url, payload: object | None) -> AcmeAnswer | AcmeFailed:
        return await self._client.post(url, self.key, payload, self.account.url)


async def open_account(client: AcmeClient, key: AccountKey, terms: Terms) -> Authority | AcmeFailed:
    """Find the key's account, or make one. Raises ValueError for a contact that is no mailto URL.

    Terms of service are agreed to only if the operator did (RFC 8555 §7.3).
    """
    directory = await client.fetch_directory()
    if isinstance(directory, AcmeFailed):
        return directory
    if (hindrance := _find_hindrance(directory, terms)) is not None:
        # An account that is there already needs neither (RFC 8555 §7.3.1).
        found = await find_account(client, key)
        is_missing = isinstance(found, AcmeFailed) and found.is_about("accountDoesNotExist")
        return AcmeFailed(hindrance) if is_missing else found
    binding = None
    if terms.external is not None:
        binding = bind_external_account(terms.external, directory.new_account, key)
    payload = format_account(terms.contacts, is_agreed=terms.is_agreed, binding=binding)
    return await _ask_account(client, directory, key, payload)


async def find_account(client: AcmeClient, key: AccountKey) -> Authority | AcmeFailed:
    """Find the account that a key has; without one the problem is `accountDoesNotExist`."""
    directory = await client.fetch_directory()
    if isinstance(directory, AcmeFailed):
        return directory
    payload = format_account((), is_agreed=False, only_existing=True)
    return await _ask_account(client, directory, key, payload)


async def revoke(
    client: AcmeClient,
    certificate: x509.Certificate,
    reason: RevocationReason | None,
    key: AccountKey,
    account: Url | None = None,
) -> AcmeFailed | None:
    """Revoke (RFC 8555 §7.6); without an account the key is the certificate's own.

    None: it is revoked now, or was before.
    """
    directory = await client.fetch_directory()
    if isinstance(directory, AcmeFailed):
        return directory
    payload = format_revocation(certificate, reason)
    answer = await client.post(directory.revoke_cert, key, payload, account)
    if isinstance(answer, AcmeAnswer):
        return None
    return None if answer.is_about("alreadyRevoked") else answer


def _read(answer: AcmeAnswer | AcmeFailed, parse: Callable[[bytes], T]) -> Seen[T] | AcmeFailed:
    if isinstance(answer, AcmeFailed):
        return answer
    try:
        return Seen(parse(answer.body), answer.retry_after)
    except ObjectError as error:
        return AcmeFailed(str(error))


async def _ask_account(
    client: AcmeClient, directory: Directory, key: AccountKey, payload: Mapping[str, object]
) -> Authority | AcmeFailed:
    answer = await client.post(directory.new_account, key, payload, None)
    if isinstance(answer, AcmeFailed):
        return answer
    location = answer.location
    if location is None:
        return AcmeFailed(f"{directory.new_account.host}: the account has no URL")
    seen = _read(answer, lambda body: parse_account(location, body))
    if isinstance(seen, AcmeFailed):
        return seen
    if seen.value.status is not AccountStatus.VALID:
        problem = Problem("unauthorized", f"the account is {seen.value.status}")
        return AcmeFailed(f"{location}: {problem.detail}", problem)
    return Authority(client, key, seen.value)


def _find_hindrance(directory: Directory, terms: Terms) -> str | None:
    """Say what keeps us from making an account; None: nothing."""
    if directory.terms_of_service is not None and not terms.is_agreed:
        terms_url = directory.terms_of_service
        return f"the authority's terms must be agreed to first (agree_to_terms): {terms_url}"
    if directory.is_external_account_required and terms.external is None:
        return "the authority wants an external account: set eab_key_id and eab_key_file"
    return None
