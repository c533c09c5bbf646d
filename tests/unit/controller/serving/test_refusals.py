"""Volumes that were not placed are told, once for each reason."""

from directpv_common.protocol.errors import NoCapacity
from directpv_common.protocol.messages import CreateVolume
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.serving.refusals import PLACES_TOLD, Refusals
from unit.controller.builders import on


class Told:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.seen: list[dict[str, object]] = []

    def emit(self, noun: str, kind: str, subject: str, **data: object) -> None:
        self.seen.append({"kind": f"{noun}.{kind}", "subject": subject, **data})


def test_what_is_told_fits_into_a_message_however_many_places_were_asked_for_and_is_told_once_for_each_reason() -> None:
    events, places = Told(), on(*(f"n{number}" for number in range(5_000)))
    wanted = wanted_from(CreateVolume(name="v1", required=1, preferred=places[:1_000], requisite=places))
    refusals = Refusals(events)  # type: ignore[arg-type]

    for why in ("full", "full", "cordoned"):
        refusals.tell(wanted, NoCapacity(why))
    assert [event["cause"] for event in events.seen] == ["full", "cordoned"]
    assert events.seen[0]["preferred"] == places[:PLACES_TOLD]
    assert events.seen[0]["requisite"] == places[1_000 : 1_000 + PLACES_TOLD]
