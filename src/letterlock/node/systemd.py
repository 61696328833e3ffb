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
"""`FileDescriptorName=` of the sockets that Postfix asks for policies."""
SUBMISSIONS_NAME = "submissions"
"""Of those for submission with TLS at once (465); as RFC 8314 §7.3 names the service."""
SUBMISSION_NAME = "submission"
"""Of those for submission with STARTTLS (587). All others are for mail from other servers."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The listening sockets that systemd opened for this process."""

    mail: tuple[socket.socket, ...] = ()
    policy: tuple[socket.socket, ...] = ()
    submissions: tuple[socket.socket, ...] = ()
    submission: tuple[socket.socket, ...] = ()


def take_listeners(environment: MutableMapping[str, str]) -> HandedOver:
    """Give the sockets that systemd opened for this process, and forget the variables."""
    count = environment.pop("LISTEN_FDS", "0")
    process = environment.pop("LISTEN_PID", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdigit() or process != str(os.getpid()):
        return HandedOver()
    mail: list[socket.socket] = []
    named: dict[str, list[socket.socket]] = {
        name: [] for name in (POLICY_NAME, SUBMISSIONS_NAME, SUBMISSION_NAME)
    }
    for place in range(int(count)):
        fd = FIRST_FD + place
        os.set_inheritable(fd, False)  # noqa: FBT003 - the standard library's signature
        name = names[place] if place < len(names) else ""
        named.get(name, mail).append(socket.socket(fileno=fd))
    return HandedOver(tuple(mail), *map(tuple, named.values()))


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
