"""What rules find in results made by hand."""

from datetime import timedelta

from letterlock.services.alert.conditions import WINDOW_DAYS, Found
from letterlock.services.intake.summary import Summary, summarize
from letterlock.storage.alerts import AlertKey
from letterlock.storage.received_reports import KeptResult
from tests.services.intake.results import TODAY, UNTIL

DOMAIN = "example.org"
SINCE = TODAY - timedelta(WINDOW_DAYS)


def add_up(*results: KeptResult, older: tuple[KeptResult, ...] = ()) -> Summary:
    return summarize(DOMAIN, results, older, SINCE, UNTIL)


def name_all(found: Found) -> list[str]:
    """Give rule and subject of what is wrong."""
    return [f"{each.key.rule} {each.key.subject}".strip() for each in found.conditions]


def name_mended(found: Found) -> dict[str, str]:
    return {f"{key.rule} {key.subject}".strip(): text for key, text in found.mended.items()}


def find_key(found: Found, rule: str) -> AlertKey:
    (key,) = (each.key for each in found.conditions if each.key.rule == rule)
    return key
