"""The listening sockets: opened by the supervisor, inherited by every worker.

One socket for each worker and address, by SO_REUSEPORT, so that the kernel spreads connections.
The supervisor keeps them open: a worker that ends loses no connection of its backlog, the next
one accepts it.
"""

import errno
import itertools
import socket
from collections.abc import Sequence

from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.values import ListenAddress

BACKLOG = 4096


class Listeners:
    """The sockets in use: one group for each worker. `inherited`: those that systemd opened.

    `key` is the setting that addresses come from.
    """

    def __init__(
        self,
        inherited: Sequence[socket.socket] = (),
        key: KeyPath = ("receive", "listen"),
    ) -> None:
        self._key = key
        self._inherited = tuple(inherited)
        self._wanted: tuple[ListenAddress, ...] = ()
        self.groups: list[list[socket.socket]] = []

    @property
    def addresses(self) -> list[ListenAddress]:
        """Give where we listen, with the ports that the kernel chose."""
        return [ListenAddress(*item.getsockname()[:2]) for item in self.groups[0]]

    def open(self, wanted: Sequence[ListenAddress], workers: int) -> None:
        """Listen on these addresses from now on; raises SettingFaults naming the one that failed.

        What failed leaves everything as it was. Sockets of systemd go before `wanted`.
        """
        if self._inherited:
            for listener in self._inherited:
                listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
            self.groups = [list(self._inherited) for _ in range(workers)]
            return
        wanted = _leave_out_ipv6(wanted)
        if tuple(wanted) == self._wanted:
            return
        kept = set(self._wanted)
        groups = _open_all([item for item in wanted if item not in kept], workers, self._key)
        old = dict(zip(self._wanted, zip(*self.groups, strict=True), strict=True))
        fresh = iter(zip(*groups, strict=True))
        columns = [old.pop(item) if item in kept else next(fresh) for item in wanted]
        self._wanted = tuple(wanted)
        self.groups = [list(row) for row in zip(*columns, strict=True)]
        for column in old.values():
            for listener in column:
                listener.close()

    def close(self) -> None:
        """Close them all."""
        for listener in itertools.chain(self._inherited, *self.groups):
            listener.close()


def _leave_out_ipv6(wanted: Sequence[ListenAddress]) -> Sequence[ListenAddress]:
    """Leave `::` out on a kernel without IPv6, if there are others: the default asks for both."""
    others = [item for item in wanted if item.host != "::"]
    if not others or len(others) == len(wanted):
        return wanted
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return others
    return wanted


def _open_all(
    addresses: Sequence[ListenAddress], workers: int, key: KeyPath
) -> list[list[socket.socket]]:
    groups: list[list[socket.socket]] = [[] for _ in range(workers)]
    for address in addresses:
        try:
            _open_for_all(address, groups)
        except OSError as error:
            for group in groups:
                for listener in group:
                    listener.close()
            message = f"{address}: {error.strerror or error}; {_advice(error, address.port)}"
            raise refuse_setting(key, message) from error
    return groups


def _open_for_all(address: ListenAddress, groups: list[list[socket.socket]]) -> None:
    # Port 0 is the kernel's choice once: all workers share it.
    port = address.port
    if port and len(groups) > 1:
        # With SO_REUSEPORT we would share it with another node of the same user, and not know.
        _open(address.host, port, is_shared=False).close()
    for group in groups:
        listener = _open(address.host, port, is_shared=len(groups) > 1)
        port = listener.getsockname()[1]
        group.append(listener)


def _open(host: str, port: int, *, is_shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # proto is given because asyncio sets TCP_NODELAY only on sockets that have it.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
    except OSError:
        listener.close()
        raise
    return listener


def _advice(error: OSError, port: int) -> str:
    if isinstance(error, PermissionError) and port < 1024:
        return "start as root with node.user set, by systemd socket, or with CAP_NET_BIND_SERVICE"
    return "is another server running, and does the address exist here?"
