"""The sockets that a Postfix asks at; opened once, as root where there are owners to be set."""

import contextlib
import socket
from collections.abc import Sequence

from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.outbound import PolicyServiceSection
from letterlock.base.config.values import ListenAddress
from letterlock.network.control import ControlInUse, bind_unix_socket
from letterlock.node.account import give_socket
from letterlock.node.listeners import Listeners

_LISTEN = ("policy_service", "listen")


class PolicyListeners:
    """The sockets in use. `inherited`: those that systemd opened, which go before the settings."""

    def __init__(self, inherited: Sequence[socket.socket] = ()) -> None:
        self._inherited = tuple(inherited)
        self._tcp = Listeners(key=_LISTEN)
        self._unix: socket.socket | None = None
        self._section: PolicyServiceSection | None = None

    @property
    def sockets(self) -> list[socket.socket]:
        """Give all of them."""
        if self._inherited:
            return list(self._inherited)
        tcp = self._tcp.groups[0] if self._tcp.groups else []
        return [*tcp, *([self._unix] if self._unix is not None else [])]

    @property
    def names(self) -> list[str]:
        """Say where Postfix is to ask, with the ports that the kernel chose."""
        if self._inherited:
            return [_name(listener) for listener in self._inherited]
        unix = self._section.socket if self._section is not None else None
        tcp = [str(address) for address in self._tcp.addresses] if self._tcp.groups else []
        return [*tcp, *([str(unix)] if unix is not None else [])]

    def open(self, section: PolicyServiceSection) -> None:
        """Listen as the section says from now on. Raises SettingFaults."""
        if self._inherited:
            for listener in self._inherited:
                listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
            return
        self._tcp.open(section.listen, 1)
        if self._section is None or _about_socket(self._section) != _about_socket(section):
            unix = _open_unix(section)
            self._close_unix()
            self._unix = unix
        self._section = section

    def close(self) -> None:
        """Close them all; the Unix socket is taken away.

        Those of systemd stay open: it hands them over once, and a reload may want them again.
        """
        self._tcp.close()
        self._tcp = Listeners(key=_LISTEN)
        self._close_unix()
        self._section = None

    def _close_unix(self) -> None:
        if self._unix is None or self._section is None or self._section.socket is None:
            return
        self._unix.close()
        self._unix = None
        with contextlib.suppress(OSError):
            # Its folder may be another user's, now that we are not root.
            self._section.socket.unlink(missing_ok=True)


def _name(listener: socket.socket) -> str:
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return str(address)
    return str(ListenAddress(*address[:2]))


def _about_socket(section: PolicyServiceSection) -> tuple[object, ...]:
    return section.socket, section.socket_mode, section.socket_owner


def _open_unix(section: PolicyServiceSection) -> socket.socket | None:
    path = section.socket
    if path is None:
        return None
    try:
        listener = bind_unix_socket(path, int(section.socket_mode, 8))
    except ControlInUse:
        message = f"{path}: another program answers there already; stop it"
        raise refuse_setting(("policy_service", "socket"), message) from None
    except OSError as error:
        message = f"{path}: {error.strerror or error}; its folder must be there, and be writable"
        raise refuse_setting(("policy_service", "socket"), message) from error
    give_socket(listener, path, section.socket_owner, ("policy_service", "socket_owner"))
    listener.listen()
    return listener
