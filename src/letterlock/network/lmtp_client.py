"""LMTP connections to a mail store: dial, greet, LHLO.

RFC 2033. Over TCP or a unix socket, without TLS: the store is ours, and beside us. What is said in
a transaction is in `protocols.smtp`.
"""

from letterlock.network.smtp_client import Connected, DialTimeouts
from letterlock.network.smtp_speaker import Refused, Speaker, Target, Unreachable
from letterlock.network.wire import Lost, connect, connect_socket
from letterlock.protocols.policy.verdict import Outcome, Verdict

_VERDICT = Verdict(Outcome.CLEAR, None, "clear", "LMTP, without TLS")

LmtpDialled = Connected | Refused | Unreachable


class LmtpDialer:
    """Opens connections to LMTP servers."""

    def __init__(self, timeouts: DialTimeouts) -> None:
        self._timeouts = timeouts

    async def dial(self, target: Target) -> LmtpDialled:
        """Connect to an address, or to a unix socket where its `ip` is a path."""
        seconds = self._timeouts.connect.total_seconds()
        if target.ip.startswith("/"):
            wire = await connect_socket(target.ip, seconds)
        else:
            wire = await connect(target.ip, target.port, seconds)
        if isinstance(wire, Lost):
            return Unreachable(wire.detail, is_silent=True)
        try:
            speaker = Speaker(wire, target, self._timeouts.steps, is_lmtp=True)
            failed = await speaker.greet()
        except BaseException:
            wire.close()
            raise
        return failed or Connected(target, speaker, _VERDICT, None)
