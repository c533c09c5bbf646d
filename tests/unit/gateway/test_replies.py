"""What a message of the bus becomes in CSI."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.names import DRIVE, NODE, PVC_NAME, VOLUME_SIZE
from directpv_common.protocol.volume_context import volume_context
from directpv_csi_gateway.core import replies
from directpv_csi_gateway.pb import csi_pb2 as pb
from unit.gateway import requests as r


def info(name: str = "pvc-1", capacity: int = r.GIB, parameters: dict[str, str] | None = None, **more) -> m.VolumeInfo:
    record = m.VolumeRecord(name=name, fsuuid=r.FSUUID, capacity=capacity, parameters=parameters or {})
    return m.VolumeInfo(record=record, node="n1", topology={NODE: "n1"}, **more)


def test_a_volume_names_its_place_and_where_the_node_finds_it():
    volume = replies.volume(info(parameters={"tier": "hot"}))

    assert (volume.volume_id, volume.capacity_bytes) == ("pvc-1", r.GIB)
    assert dict(volume.volume_context) == {"tier": "hot", DRIVE: r.FSUUID, VOLUME_SIZE: str(r.GIB)}
    assert [dict(term.segments) for term in volume.accessible_topology] == [{NODE: "n1"}]


def test_what_kubernetes_adds_to_the_parameters_does_not_come_back_in_the_context():
    assert PVC_NAME not in replies.volume(info(parameters={PVC_NAME: "data-0"})).volume_context


def test_the_context_can_be_staged_again():
    from directpv_csi_gateway.core import node

    context = dict(replies.volume(info()).volume_context)

    staged = node.stage_volume(r.stage(volume_context=context))

    assert (staged.fsuuid, staged.capacity) == (r.FSUUID, r.GIB)


def test_a_page_has_each_volume_and_the_way_on():
    page = m.VolumePage(volumes=(info("a"), info("b")), next="b")

    reply = replies.listed(page)

    assert [entry.volume.volume_id for entry in reply.entries] == ["a", "b"]
    assert all(entry.HasField("status") for entry in reply.entries)
    assert reply.next_token == "b"


def test_one_volume_is_shown_with_its_status():
    reply = replies.got(info())

    assert reply.volume.volume_id == "pvc-1"
    assert reply.HasField("status")


@pytest.mark.parametrize("maximum", [0, 7])
def test_capacity_says_what_the_best_drive_has_even_if_it_is_nothing(maximum):
    reply = replies.capacity(m.Capacity(available=10, maximum=maximum))

    assert reply.available_capacity == 10
    assert reply.HasField("maximum_volume_size")
    assert reply.maximum_volume_size.value == maximum


def test_stats_are_in_bytes_and_in_inodes():
    found = m.VolumeStats(total=10, used=4, available=6, inodes_total=100, inodes_used=1, inodes_free=99)

    reply = replies.stats(found)

    assert [(usage.unit, usage.total, usage.used, usage.available) for usage in reply.usage] == [
        (pb.VolumeUsage.BYTES, 10, 4, 6),
        (pb.VolumeUsage.INODES, 100, 1, 99),
    ]


def test_a_node_says_its_name_and_its_topology():
    reply = replies.node_info(m.NodeInfo(name="n1", topology={NODE: "n1"}))

    assert reply.node_id == "n1"
    assert dict(reply.accessible_topology.segments) == {NODE: "n1"}


def test_what_a_volume_can_do_is_confirmed_in_the_words_of_the_request():
    context = {**volume_context(info().record), "storage.kubernetes.io/csiProvisionerIdentity": "1-x"}
    request = r.validate(volume_context=context, parameters={"tier": "hot"})

    reply = replies.validated(request, info(parameters={"tier": "hot"}))

    assert list(reply.confirmed.volume_capabilities) == list(request.volume_capabilities)
    assert dict(reply.confirmed.parameters) == {"tier": "hot"}
    assert dict(reply.confirmed.volume_context) == context


def test_a_volume_that_grew_is_confirmed_under_the_size_it_had_at_creation():
    request = r.validate(volume_context=volume_context(info().record))

    assert replies.validated(request, info(capacity=2 * r.GIB)).HasField("confirmed")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"volume_capabilities": [r.block()]}, "block", id="block"),
        pytest.param({"volume_capabilities": [r.capability(), r.capability(mode=5)]}, "MULTI_NODE", id="second mode"),
        pytest.param({"parameters": {"tier": "cold"}}, "tier", id="other parameters"),
        pytest.param({"parameters": {"new": "x"}}, "new", id="parameters that it does not have"),
        pytest.param({"volume_context": {DRIVE: "other"}}, "drive", id="other context"),
        pytest.param({"mutable_parameters": {"a": "b"}}, "mutable_parameters", id="mutable parameters"),
    ],
)
def test_what_a_volume_cannot_do_is_not_confirmed_and_says_why(changes, why):
    reply = replies.validated(r.validate(**changes), info(parameters={"tier": "hot"}))

    assert not reply.HasField("confirmed")
    assert why in reply.message
