"""What systemd hands over and wants to hear: sockets, readiness, the watchdog.

sd_listen_fds(3) and sd_notify(3), by their environment variables and datagrams; nothing happens
where systemd did not start us.
"""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

FIRST_FD = 3
POLICY_NAME = "policy"
"""`FileDescriptorName=` of the sockets that Postfix asks for policies; all others are for mail."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The listening sockets that systemd opened for this process."""

    mail: tuple[socket.socket, ...] = ()
    policy: tuple[socket.socket, ...] = ()


def take_listeners(environment: MutableMapping[str, str]) -> HandedOver:
    """Give the sockets that systemd opened for this process, and forget the variables."""
    count = environment.pop("LISTEN_FDS", "0")
    process = environment.pop("LISTEN_PID", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdigit() or process != str(os.getpid()):
        return HandedOver()
    mail: list[socket.socket] = []
    policy: list[socket.socket] = []
    for place in range(int(count)):
        fd = FIRST_FD + place
        os.set_inheritable(fd, False)  # noqa: FBT003 - the standard library's signature
        is_policy = names[place : place + 1] == [POLICY_NAME]
        (policy if is_policy else mail).append(socket.socket(fileno=fd))
    return HandedOver(tuple(mail), tuple(policy))


class Notifier:
    """Tells systemd how we are."""

    def __init__(self, address: str | None) -> None:
        self._address = address.replace("@", "\0", 1) if address else None

    def tell(self, state: str) -> None:
        """Send a state such as `READY=1`. A systemd that can't be reached is not our failure."""
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            try:
                sender.connect(self._address)
                sender.send(state.encode())
            except OSError:
                return
