"""What of that which is wrong is told now: what begins, what goes on too long, what is over.

Pure: what is found, what was told before and a moment in, the next state and what is to be told
out. An alert is told once. While it goes on it is told again only after a silence; one that comes
again within that time is kept, and told when the silence is over, if it is there still. That it is
over is told to whom it was told as open.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from letterlock.services.alert.conditions import Condition, Found
from letterlock.storage.alerts import Alert, AlertKey, Told, Turn

MAX_OF_RULE = 50
"""Of one rule for one domain, open at once: beyond that no new one is told. Who writes reports may
write any number of hosts and reasons."""
NODE_SILENT = timedelta(days=2)
"""What a node alone can see is over when it has not looked for so long."""
_UNPROVED = "no report tells of it any more; none proves that it is mended"


def decide(
    alerts: Sequence[Alert], found: Found, node: str, silence: timedelta, now: datetime
) -> tuple[tuple[Alert, ...], tuple[Told, ...]]:
    """Give what is kept from now on, and what is to be told.

    `node` is whose eyes these are: what only other nodes can see stays as it is.
    """
    before = {each.key: _not_ahead(each, now) for each in alerts}
    after: dict[AlertKey, Alert] = {}
    told: list[Told] = []
    is_open = Counter((key.rule, key.domain) for key, each in before.items() if each.ended is None)
    for condition in found.conditions:
        alert = before.pop(condition.key, None)
        kind = condition.key.rule, condition.key.domain
        next_one, turn = _go_on(
            alert, condition, silence, now, is_full=is_open[kind] >= MAX_OF_RULE
        )
        is_open[kind] += alert is None and next_one is not None
        if next_one is not None:
            after[next_one.key] = next_one
        if turn is not None:
            told.append(Told(turn, condition.key, condition.text))
    for alert in before.values():
        left, ended = _end(alert, found.mended, node, silence, now)
        if left is not None:
            after[left.key] = left
        told += ended
    return tuple(sorted(after.values(), key=lambda each: each.key)), tuple(told)


def list_open(alerts: Iterable[Alert]) -> list[Alert]:
    """List what is open."""
    return [each for each in alerts if each.ended is None]


def _not_ahead(alert: Alert, now: datetime) -> Alert:
    """Bring back what lies ahead: the clock was set back."""
    if alert.told <= now and (alert.ended or now) <= now:
        return alert
    return replace(
        alert,
        told=min(alert.told, now),
        began=min(alert.began, now),
        ended=None if alert.ended is None else min(alert.ended, now),
    )


def _go_on(
    alert: Alert | None, condition: Condition, silence: timedelta, now: datetime, *, is_full: bool
) -> tuple[Alert | None, Turn | None]:
    """Say what becomes of an alert whose condition is there, and what of it is told."""
    text, level, today = condition.text, condition.level, now.date()
    if alert is None or (alert.ended is not None and not condition.may_begin):
        if not condition.may_begin or is_full:
            return alert, None
        return Alert(condition.key, text, now, now, today, level), Turn.BEGAN
    began = alert.began if alert.ended is None else now
    went_on = replace(alert, text=text, began=began, seen=today, ended=None)
    if level <= alert.level and now < alert.told + silence:
        return replace(went_on, is_known=alert.is_known and alert.ended is None), None
    turn = Turn.GOES_ON if alert.is_known and level <= alert.level else Turn.BEGAN
    return replace(went_on, told=now, level=level, is_known=True), turn


def _end(
    alert: Alert, mended: Mapping[AlertKey, str], node: str, silence: timedelta, now: datetime
) -> tuple[Alert | None, list[Told]]:
    """Say what becomes of an alert whose condition is not there, and what of it is told."""
    if alert.ended is not None:
        return (None if now >= alert.told + silence else alert), []
    note = mended.get(alert.key, _UNPROVED)
    if alert.key.node not in ("", node):
        if alert.seen >= (now - NODE_SILENT).date():
            return alert, []
        note = f"{alert.key.node} has not looked since {alert.seen}"
    told = [Told(Turn.ENDED, alert.key, alert.text, note)] if alert.is_known else []
    return replace(alert, ended=now, is_known=False), told
