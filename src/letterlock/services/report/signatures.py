"""Whether recipients will take a report's signature: it is verified by what is published.

RFC 8460 §3: what has no valid signature of the reporting domain must be ignored, and the key must
be good for `tlsrpt` where it says what it is good for (`s=`, RFC 6376 §3.6.1), and not be one for
tests (`t=y`). A report that nobody would read is not sent: it waits, and the reason says what to
publish.
"""

from datetime import datetime, timedelta

from letterlock.network.dns import Resolver
from letterlock.protocols.dkim.results import DkimResult, SignatureResult
from letterlock.protocols.dkim.verifying import Verifier
from letterlock.services.discover.dkim_keys import find_dkim_keys

SERVICE = "tlsrpt"
TRUSTED_FOR = timedelta(minutes=30)
"""For so long keys that were found good are not looked at again."""
_SIGNATURE = b"DKIM-Signature:"


class SignatureCheck:
    """Verifies what we signed. Only the first mail in a while costs anything."""

    def __init__(self, resolver: Resolver, domain: str) -> None:
        """Check signatures of a domain: who reports."""
        self._resolver = resolver
        self._domain = domain
        self._good_until: datetime | None = None

    async def find_fault(self, content: bytes, now: datetime) -> str | None:
        """Say on one line why nobody would read a mail; None: one signature at least is good."""
        if not content.startswith(_SIGNATURE):
            # RFC 8460 §3: without a signature it must be ignored.
            return f"nobody signs mail of {self._domain}: see [dkim], or tlsrpt.contact"
        if (
            self._good_until is not None
            and self._good_until - TRUSTED_FOR <= now < self._good_until
        ):
            return None
        header, _, body = content.partition(b"\r\n\r\n")
        verifier = Verifier(header + b"\r\n", now, SERVICE)
        verifier.receive(body)
        results = verifier.finish(await find_dkim_keys(self._resolver, verifier.key_names))
        if not any(map(self._is_good, results)):
            found = "; ".join(f"{each.selector}: {_describe(each)}" for each in results)
            return f"no key of {self._domain} that is published is good for it: {found}"
        self._good_until = now + TRUSTED_FOR
        return None

    def _is_good(self, result: SignatureResult) -> bool:
        """RFC 8460 §5.3: the submitter, whose name the mail bears, is the one who signs."""
        is_ours = self._domain == result.domain or self._domain.endswith(f".{result.domain}")
        # RFC 6376 §3.6.1: while a key is tested, mail is taken as if it were not signed by it.
        return is_ours and result.result is DkimResult.PASS and not result.is_testing


def _describe(result: SignatureResult) -> str:
    return "its key is only for tests (t=y)" if result.is_testing else result.reason
