"""The sockets that mail is submitted on: with TLS at once (465), and with STARTTLS (587)."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from letterlock.base.config.submission import SubmissionSection
from letterlock.base.config.values import ListenAddress
from letterlock.node.listeners import Listeners


@dataclass(frozen=True, slots=True)
class SubmissionSockets:
    """Those of one worker."""

    implicit_tls: Sequence[socket.socket] = ()
    starttls: Sequence[socket.socket] = ()


class SubmissionListeners:
    """The sockets in use. What systemd opened goes before the settings, each kind for itself."""

    def __init__(
        self,
        implicit_tls: Sequence[socket.socket] = (),
        starttls: Sequence[socket.socket] = (),
    ) -> None:
        self._implicit_tls = Listeners(implicit_tls, ("submission", "listen"))
        self._starttls = Listeners(starttls, ("submission", "listen_starttls"))

    def open(self, section: SubmissionSection, workers: int) -> None:
        """Listen as the section says from now on. Raises SettingFaults."""
        self._implicit_tls.open(section.listen if section.enabled else (), workers)
        self._starttls.open(section.listen_starttls if section.enabled else (), workers)

    def list_groups(self, workers: int) -> list[SubmissionSockets]:
        """Give each worker's."""
        return [
            SubmissionSockets(
                _of_worker(self._implicit_tls, each), _of_worker(self._starttls, each)
            )
            for each in range(workers)
        ]

    @property
    def names(self) -> list[str]:
        """Say where clients may connect, with the ports that the kernel chose."""
        return [
            *(f"{address} (TLS)" for address in _addresses(self._implicit_tls)),
            *(f"{address} (STARTTLS)" for address in _addresses(self._starttls)),
        ]

    def close(self) -> None:
        """Close them all."""
        self._implicit_tls.close()
        self._starttls.close()


def _of_worker(listeners: Listeners, worker: int) -> Sequence[socket.socket]:
    return listeners.groups[worker] if listeners.groups else ()


def _addresses(listeners: Listeners) -> list[ListenAddress]:
    return listeners.addresses if listeners.groups else []
