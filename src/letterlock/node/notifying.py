"""What `[bounce]` describes: the maker of notifications, with the operator's texts and our keys."""

import secrets
import string
from collections.abc import Callable

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.node.signing import make_signer
from letterlock.services.queue.notice_texts import load_notice_texts
from letterlock.services.queue.notices import NoticeMaker
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.redirected import find_hindrance, redirect_if_known
from letterlock.services.redirect.tables import TableSource
from letterlock.storage.queue import QueueId

_TOKEN_CHARACTERS = string.ascii_letters + string.digits


def build_schedule(config: Config) -> Schedule:
    queue = config.queue
    return Schedule(
        queue.lifetime, queue.bounce_lifetime, queue.delay_notice, queue.retry_min, queue.retry_max
    )


def build_notices(
    config: Config, clock: Clock, log: Log, make_id: Callable[[], QueueId], tables: TableSource
) -> NoticeMaker:
    """Build what makes notifications. A text with a mistake in it is logged, and not used."""
    found = load_notice_texts(config.bounce.templates)
    for problem in found.problems:
        log.write(Service.BOUNCE, f"warning: {problem}")
    signer = make_signer(config, clock, log)
    return NoticeMaker(
        hostname=config.hostname,
        schedule=build_schedule(config),
        clock=clock,
        make_id=make_id,
        make_token=_make_token,
        redirect=lambda envelope: redirect_if_known(envelope, tables.current()),
        find_hindrance=lambda address: find_hindrance(address, tables.current()),
        sign=signer.sign if signer is not None else bytes,
        texts=found.texts,
        max_returned=config.bounce.max_returned,
    )


def _make_token() -> str:
    return "".join(secrets.choice(_TOKEN_CHARACTERS) for _ in range(24))
