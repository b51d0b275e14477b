"""Every flow is registered, retrain with its schedule."""

from decant.params import Schedule
from flows.serve import deployments
from flows.server import free_port, port_is_free


def test_every_flow_is_registered_and_retrain_has_its_schedule() -> None:
    made = {d.name: d for d in deployments(Schedule(cron="5 4 * * *", timezone="Europe/Berlin"))}
    assert set(made) == {"retrain", "rerun-stage", "promote"}
    schedule = made["retrain"].schedules[0].schedule
    assert (schedule.cron, schedule.timezone) == ("5 4 * * *", "Europe/Berlin")
    assert made["promote"].schedules == []
    assert made["retrain"].parameters == {"options": {"channel": "production", "promote": True}}


def test_a_free_port_is_free() -> None:
    assert port_is_free("127.0.0.1", free_port())
