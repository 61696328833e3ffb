"""Files and connections that one process may have open, and how clients leave some for the rest.

Without a descriptor nothing can be delivered, looked up, or told to the operator. So clients get
only a part of them, and those that are too many are told so (421), before anything runs out.
"""

import resource

from letterlock.base.config.outbound import DeliverSection
from letterlock.base.config.sections import Config

MOST = 65536
"""As many as are asked for, where the system lets us."""
RESERVED = 100
"""For the queue's files, name servers, commands and the log."""
FOR_DELIVERY = 2
"""A connection, and the message or the mailbox."""


def allow_descriptors() -> None:
    """Raise our limit: the usual 1024 are fewer than `receive.max_connections`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def count_for_clients(deliver: DeliverSection, descriptors: int | None = None) -> int:
    """Give how many connections of clients a process may hold; 0: any number.

    `descriptors` is how many it may have in all, by default what the system says. Where that is
    very little, clients get half of it.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return 0
    reserved = RESERVED + FOR_DELIVERY * deliver.max_connections
    return descriptors - min(reserved, descriptors // 2)


def count_per_client(config: Config) -> int:
    """Give how many descriptors a client may take: with filters, a connection to each of them too.

    And a file, for a message that is large.
    """
    filters = len(config.filter.milters) + len(config.filter.rspamd)
    return 1 + filters + bool(filters)


def describe_shortage(config: Config, workers: int) -> str | None:
    """Say that clients get fewer connections than `receive.max_connections`; None: they don't."""
    room = count_for_clients(config.deliver) // count_per_client(config)
    most = config.receive.max_connections
    if not room or room * workers >= most:
        return None
    who = "the worker" if workers == 1 else f"each of {workers} workers"
    return (
        f"receive.max_connections: {most} are more than the descriptors allow: {who} has room "
        f"for {room}; raise the limit of open files (LimitNOFILE= of systemd)"
    )
