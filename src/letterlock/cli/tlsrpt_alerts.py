"""`letterlock tlsrpt alerts`: what reports on TLS say is wrong now, as the node has told it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.failures import ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)
from letterlock.cli.report_store import with_opened

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.storage.alerts import Alert, AlertState, KeptAlerts

ALERTS_KEYS = {
    "enabled": "whether a node looks for what is wrong, and tells it",
    "alerts[].rule": "A1 to A10, as the guide to TLS reports has them",
    "alerts[].domain": "the policy domain, or null",
    "alerts[].subject": "what tells alerts of one rule and domain apart",
    "alerts[].node": "the node that alone can see it, or null",
    "alerts[].what": "what is wrong",
    "alerts[].since": "since when, by the reports",
    "alerts[].evidence[]": "what says so, a line each",
    "alerts[].do": "what to do",
    "alerts[].began": "when it was found",
    "alerts[].told": "when it was told last",
    "waiting[]": "notices that are not told yet: `made`, `ways` (mail, command) and `reason`, why "
    "the last try failed, or null",
}


@click.command()
@json_option(ALERTS_KEYS)
@config_option
def alerts(*, as_json: bool, config_path: Path | None) -> int:
    """List the alerts that are open: what reports on TLS say is wrong.

    A running node finds them, and tells who is named in [tlsrpt.alerts], once and when they are
    over.

    Exit code 0: none is open; 1: some are.
    """
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    state = _load(config).state
    from letterlock.services.alert.deciding import list_open  # noqa: PLC0415 - lazy, for -h

    found = list_open(state.alerts)
    if as_json:
        print_json(_describe(config, found, state))
    else:
        _print(config, found, state)
    return ExitCode.BAD_NEWS if found else ExitCode.FINE


def _load(config: "Config") -> "KeptAlerts":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.alerting import make_alert_stores  # noqa: PLC0415 - as above
    from letterlock.node.shared_database import name_command  # noqa: PLC0415 - as above

    async def load() -> "KeptAlerts":
        store = make_alert_stores(config, name_command(config), SystemClock()).alerts
        await store.open()
        try:
            return await store.load()
        finally:
            await store.close()

    return with_opened(load, "alerts cannot be read now")


def _describe(config: "Config", found: "list[Alert]", state: "AlertState") -> dict[str, Any]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - lazy, for -h
    from letterlock.services.alert.wording import describe  # noqa: PLC0415 - as above

    return {
        "enabled": config.tlsrpt.alerts.enabled,
        "alerts": [
            {
                **describe(each.key, each.text),
                "began": format_time(each.began),
                "told": format_time(each.told),
            }
            for each in found
        ],
        "waiting": [
            {
                "made": format_time(each.made),
                "ways": list(each.ways),
                "reason": each.reason or None,
            }
            for each in state.notices
        ],
    }


def _print(config: "Config", found: "list[Alert]", state: "AlertState") -> None:
    from letterlock.cli.story_text import tell  # noqa: PLC0415 - lazy, for -h
    from letterlock.services.alert.wording import name  # noqa: PLC0415 - as above

    for each in found:
        click.echo(f"{name(each.key, each.text)} [{each.key.rule}]")
        lines = [("since", f"{each.text.since:%Y-%m-%d %H:%M} UTC")]
        lines += [("" if place else "seen", line) for place, line in enumerate(each.text.evidence)]
        lines += [("do", each.text.remedy), ("told", f"{each.told:%Y-%m-%d %H:%M} UTC")]
        for label, text in lines:
            for line in tell(label, text):
                click.echo(line)
    if not found:
        click.echo("No alerts are open.")
    for notice in state.notices:
        why = f": {notice.reason}" if notice.reason else ""
        click.echo(f"Not told yet by {' and '.join(notice.ways)}{why}")
    if not config.tlsrpt.alerts.enabled:
        click.echo("tlsrpt.alerts.enabled is false: nobody looks for new ones.")
