"""An incident is made, enabled, and taken back; whatever breaks off does nothing to anybody."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.protocols.audit.decisions import IncidentLogged
from letterlock.protocols.audit.records import read_decision
from letterlock.services.ca.incidents.changing import (
    Collected,
    IncidentError,
    create,
    enable,
    make_incident_id,
    withdraw,
)
from letterlock.services.ca.incidents.choosing import Chosen
from letterlock.services.ca.incidents.urgency import make_find_urgency
from letterlock.storage.ca.incidents import IncidentState
from letterlock.storage.ca.kept import WorkKind
from tests.fakes import START
from tests.services.ca.incidents.scene import Scene
from tests.storage.authorities import DAY


async def list_logged(scene: Scene) -> list[IncidentLogged]:
    records = await scene.store.list_records(0, 100, kind="incident")
    found = [read_decision(each.document) for each in records]
    return [each for each in found if isinstance(each, IncidentLogged)]


async def test_an_incident_has_all_that_was_chosen_and_says_how_far_it_is(scene: Scene) -> None:
    await scene.issue(1, 1, 2, 2, 2)
    told: list[Collected] = []
    new = scene.describe()
    incident = await create(scene.store, new, scene.pages(2), START, told.append)
    assert incident.state is IncidentState.READY
    assert await scene.store.load_incident(incident.id) == incident
    assert told == [Collected(2, 2), Collected(4, 4), Collected(5, 5)]
    found = await scene.store.list_affected(incident.id, 0, 10)
    assert [each.account_id for each in found] == ["account-1"] * 2 + ["account-2"] * 3
    (logged,) = await list_logged(scene)
    assert (logged.action, logged.count, logged.who) == ("created", 5, "postmaster")
    assert (logged.why, logged.url, logged.renew_by) == (new.why, new.page, new.renew_by)


async def test_what_was_broken_off_cannot_be_enabled(scene: Scene) -> None:
    async def broken() -> AsyncIterator[Chosen]:
        async for each in scene.pages(1):
            yield each
            raise KeyboardInterrupt

    await scene.issue(1, 1)
    with pytest.raises(KeyboardInterrupt):
        await create(scene.store, scene.describe(), broken(), START, lambda _: None)
    (left,) = await scene.store.list_incidents()
    assert left.state is IncidentState.COLLECTING
    with pytest.raises(IncidentError, match="not complete"):
        await enable(scene.store, left.id, "me", START)
    (issued, _) = await scene.list()
    assert await make_find_urgency(scene.store)(issued.certificate) is None
    assert await scene.step(scene.make_work()) == 0


async def test_enabled_it_is_told_to_clients_and_becomes_work(scene: Scene) -> None:
    """RFC 9773 §4.2"""
    (issued, _) = await scene.issue(1, 1)
    incident = await scene.create()
    find_urgency = make_find_urgency(scene.store)
    assert await find_urgency(issued.certificate) is None
    assert await scene.store.find_next_due(WorkKind.INCIDENT) is None
    enabled = await enable(scene.store, incident.id, "me", START)
    assert enabled == replace(incident, state=IncidentState.ENABLED, enabled=START)
    assert await scene.store.find_next_due(WorkKind.INCIDENT) == START
    urgency = await find_urgency(issued.certificate)
    assert urgency is not None
    assert (urgency.since, urgency.page) == (START, "https://ca.example/incident")
    assert [each.action for each in await list_logged(scene)] == ["created", "enabled"]


async def test_of_several_incidents_the_first_that_was_enabled_is_told(scene: Scene) -> None:
    """So the window of a certificate stays the same one."""
    (issued,) = await scene.issue(1)
    first, second = await scene.create(), await scene.create()
    await enable(scene.store, second.id, "me", START)
    scene.clock.move(timedelta(hours=1))
    await enable(scene.store, first.id, "me", scene.clock.now())
    find_urgency = make_find_urgency(scene.store)
    urgency = await find_urgency(issued.certificate)
    assert urgency is not None
    assert urgency.since == START
    await withdraw(scene.store, second.id, "me", scene.clock.now())
    urgency = await find_urgency(issued.certificate)
    assert urgency is not None
    assert urgency.since == scene.clock.now()


async def test_what_affects_nothing_is_no_incident(scene: Scene) -> None:
    incident = await create(scene.store, scene.describe(), scene.pages(1), START, lambda _: None)
    assert incident.state is IncidentState.WITHDRAWN
    with pytest.raises(IncidentError, match="is withdrawn already"):
        await enable(scene.store, incident.id, "me", START)


async def test_each_step_is_taken_once(scene: Scene) -> None:
    await scene.issue(1)
    incident = await scene.enable()
    with pytest.raises(IncidentError, match="is enabled already"):
        await enable(scene.store, incident.id, "me", START)
    withdrawn = await withdraw(scene.store, incident.id, "me", START)
    assert withdrawn.state is IncidentState.WITHDRAWN
    for step in (enable, withdraw):
        with pytest.raises(IncidentError, match="is withdrawn already"):
            await step(scene.store, incident.id, "me", START)
        with pytest.raises(IncidentError, match="no incident other"):
            await step(scene.store, "other", "me", START)
    assert [each.action for each in await list_logged(scene)][-1] == "withdrawn"


async def test_a_deadline_that_has_passed_is_none(scene: Scene) -> None:
    await scene.issue(1)
    late = replace(scene.describe(), renew_by=START)
    with pytest.raises(IncidentError, match="has passed"):
        await create(scene.store, late, scene.pages(1), START, lambda _: None)
    incident = await scene.create()
    with pytest.raises(IncidentError, match="has passed"):
        await enable(scene.store, incident.id, "me", START + 5 * DAY)


async def test_an_operators_words_become_one_line(scene: Scene) -> None:
    await scene.issue(1)
    new = replace(scene.describe(), why="one\r\ntwo\x1b[2J " + "x" * 1000)
    incident = await create(scene.store, new, scene.pages(1), START, lambda _: None)
    assert incident.why.startswith("one two?[2J xxx")
    assert len(incident.why) == 500


def test_an_id_is_a_day_and_letters() -> None:
    assert re.fullmatch(r"20260301-[a-z2-9]{4}", make_incident_id(START))
    assert len({make_incident_id(START) for _ in range(50)}) > 40
