"""Times as logs have them: syslog's without a year, RFC 3339's, Exim's, the journal's.

RFC 3164 §4.1.2, RFC 5424 §6.2.3. A stamp without a zone is of the machine that wrote it: the caller
says which that is taken to be. One without a year is taken to be of the last twelve months.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo

_SYSLOG = re.compile(r"([A-Z][a-z]{2}) ([ 0-9]\d) (\d\d):(\d\d):(\d\d)")
_EXIM = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)?(?: ([+-]\d{4}))?")
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_EARLY = timedelta(days=1)
"""A stamp may be so much later than now: clocks and zones differ."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_stamp(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    """Read a stamp; gives UTC. None: it is no time.

    `now` is when the log is read, or was written last; `zone` counts where none is said.
    """
    try:
        if text.startswith("@"):
            return _EPOCH + timedelta(microseconds=int(text[1:]))
        if (found := _SYSLOG.match(text)) is not None:
            return _read_syslog(found, now, zone)
        if (found := _EXIM.match(text)) is not None:
            moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or ''}")
        else:
            moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _read_syslog(found: re.Match[str], now: datetime, zone: tzinfo) -> datetime | None:
    month = _MONTHS.get(found[1])
    if month is None:
        return None
    day, hour, minute, second = (int(found[place]) for place in range(2, 6))
    latest = (now + _EARLY).astimezone(zone)
    # Twice: 29 February is in no other year than a leap year.
    for year in range(latest.year, latest.year - 8, -1):
        try:
            moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
        except ValueError:
            continue
        if moment <= latest:
            return moment.astimezone(UTC)
    return None
