"""Where an authority's objects are: ids become URLs, and the URLs of accounts ids again.

RFC 8555 §7.1 (resources), §6.2 (`kid`), §10.5 (URLs tell nothing); RFC 8657 §5.4 (an account's URL
stays: it stands in CAA records, also after the authority moved to another name).
"""

import re
from dataclasses import dataclass

from letterlock.protocols.acme.directory import Directory
from letterlock.protocols.acme.fields import Url, parse_url

_ID = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")


@dataclass(frozen=True, slots=True)
class Places:
    """`base` is the public URL that the paths stand behind, without a final slash.

    `former` are those it once was: accounts are still known by them.
    """

    base: str
    former: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for base in (self.base, *self.former):
            if base.endswith("/") or "?" in base:
                raise ValueError(f"{base} has no final slash and no query")
            parse_url(base)

    @property
    def directory(self) -> str:
        return f"{self.base}/directory"

    def account(self, account_id: str) -> str:
        return f"{self.base}/account/{account_id}"

    def list_accounts(self, account_id: str) -> tuple[str, ...]:
        """Give all URLs by which CAA records may name an account (RFC 8657 §3, §5.4)."""
        return tuple(f"{base}/account/{account_id}" for base in (self.base, *self.former))

    def orders(self, account_id: str, after: str | None = None) -> str:
        """Give the list of an account's orders, or the page behind an order's id."""
        url = f"{self.account(account_id)}/orders"
        return url if after is None else f"{url}/after/{after}"

    def order(self, order_id: str) -> str:
        return f"{self.base}/order/{order_id}"

    def finalize(self, order_id: str) -> str:
        return f"{self.order(order_id)}/finalize"

    def authorization(self, authorization_id: str) -> str:
        return f"{self.base}/authorization/{authorization_id}"

    def challenge(self, authorization_id: str, kind: str) -> str:
        return f"{self.base}/challenge/{authorization_id}/{kind}"

    def certificate(self, certificate_id: str, chain: int = 0) -> str:
        """Give a certificate with one of its chains; 0 is the one that is given unasked."""
        url = f"{self.base}/certificate/{certificate_id}"
        return url if chain == 0 else f"{url}/{chain}"

    def find_account_id(self, kid: str) -> str | None:
        """Find the id in an account's URL; None: it is none of ours."""
        for base in (self.base, *self.former):
            account_id = kid.removeprefix(f"{base}/account/")
            if account_id != kid and is_id(account_id):
                return account_id
        return None

    def make_directory(
        self,
        *,
        terms: str | None = None,
        website: str | None = None,
        caa_identities: tuple[str, ...] = (),
        is_external_account_required: bool = False,
        profiles: tuple[tuple[str, str], ...] = (),
    ) -> Directory:
        """Make the directory; `profiles` are names and what they mean."""
        return Directory(
            new_nonce=self._url("new-nonce"),
            new_account=self._url("new-account"),
            new_order=self._url("new-order"),
            revoke_cert=self._url("revoke-cert"),
            key_change=self._url("key-change"),
            renewal_info=self._url("renewal-info"),
            terms_of_service=terms,
            website=website,
            caa_identities=caa_identities,
            is_external_account_required=is_external_account_required,
            profiles=dict(profiles),
        )

    def _url(self, path: str) -> Url:
        return parse_url(f"{self.base}/{path}")


def is_id(text: str) -> bool:
    """Tell whether a text has the form of our ids, which is safe in a path."""
    return _ID.match(text) is not None
