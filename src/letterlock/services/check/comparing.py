"""What is different from the last run: what is new, gone or worse, whose mail fares otherwise."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

_SEVERE = ("critical", "warning")


def compare(before: Document, now: Document) -> dict[str, Any]:
    """Compare two documents of the same domain.

    A finding is the same one where it has the same id at the same place, whatever its words; what
    an earlier release wrote may lack parts, which then count as new.
    """
    old, new = _by_place(before), _by_place(now)
    fared = {each.get("sender"): each.get("outcome") for each in _list(before, "verdicts")}
    return {
        "new": [new[key] for key in new if key not in old],
        "gone": [old[key] for key in old if key not in new],
        "changed": [
            new[key] | {"before": old[key].get("severity")}
            for key in new
            if key in old and old[key].get("severity") != new[key]["severity"]
        ],
        "verdicts": [
            {
                "sender": each["sender"],
                "before": fared.get(each["sender"]),
                "now": each["outcome"],
            }
            for each in now["verdicts"]
            if fared.get(each["sender"]) != each["outcome"]
        ],
    }


def is_worse(difference: Document) -> bool:
    """Say if somebody should be told: a new fault, or mail that does not arrive any more."""
    faults = (*difference["new"], *difference["changed"])
    has_fault = any(each["severity"] in _SEVERE for each in faults)
    fails = any(each["now"] in ("defer", "bounce") for each in difference["verdicts"])
    return has_fault or fails


def _by_place(document: Document) -> dict[tuple[Any, Any], dict[str, Any]]:
    return {(each.get("id"), each.get("where")): each for each in _list(document, "findings")}


def _list(document: Document, key: str) -> list[dict[str, Any]]:
    found = document.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
