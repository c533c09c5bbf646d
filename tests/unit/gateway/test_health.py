"""Health of CSI 1.13, and of 1.12 for those that know no other."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import InvalidRequest, InvalidToken
from directpv_csi_gateway.core import capabilities, health, replies
from directpv_csi_gateway.core.former_health import UNWELL, WELL
from directpv_csi_gateway.pb import csi_pb2 as pb
from unit.gateway.test_replies import info

LOST = m.Ailment(effect=m.Effect.INACCESSIBLE, reason="DriveLost", message="put it back")
SLOW = m.Ailment(effect=m.Effect.DEGRADED, reason="DriveIsSlow", message="look")
LATER = m.Ailment(effect=m.Effect("Haunted"), reason="DriveIsHaunted")
STATS = m.VolumeStats(total=9, used=4, available=5, inodes_total=9, inodes_used=1, inodes_free=8)


def message_of_1_12(name: str):
    """Return ``name`` as a peer of CSI 1.12 has it: any message with a VolumeCondition in its field 2."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=f"former.{name}", syntax="proto3")
    condition = file.message_type.add(name="VolumeCondition")
    condition.field.add(name="abnormal", number=1, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL)
    condition.field.add(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    outer = file.message_type.add(name=name)
    outer.field.add(
        name="volume_condition",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=f".former.{name}.VolumeCondition",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"former.{name}.{name}"))


def as_1_12_reads(message) -> tuple[bool, str] | None:
    """Return the condition that a peer of CSI 1.12 finds in the bytes of ``message``; None if it finds none."""
    read = message_of_1_12(type(message).__name__).FromString(message.SerializeToString())
    found = read.volume_condition
    return (found.abnormal, found.message) if read.HasField("volume_condition") else None


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 20_000])
def test_a_kubelet_of_csi_1_12_finds_the_condition_in_each_of_its_three_messages(length):
    why = "x" * length
    sick = info(abnormal=True, condition=why)
    stats = m.VolumeStats(
        total=9, used=4, available=5, inodes_total=9, inodes_used=1, inodes_free=8, abnormal=True, condition=why
    )

    page = replies.listed(m.VolumePage(volumes=(sick,)), condition=True)
    told = [page.entries[0].status, replies.got(sick, condition=True).status, replies.stats(stats, condition=True)]

    assert [as_1_12_reads(message) for message in told] == [(True, why or UNWELL)] * 3


def test_a_volume_that_is_well_has_words_for_that_too():
    assert as_1_12_reads(replies.stats(STATS, condition=True)) == (False, WELL)


def test_the_condition_goes_over_the_wire_inside_the_whole_reply():
    sent = replies.got(info(abnormal=True, condition="lost"), condition=True).SerializeToString()

    assert as_1_12_reads(pb.ControllerGetVolumeResponse.FromString(sent).status) == (True, "lost")


def test_nothing_of_1_12_is_told_unless_it_is_asked_for():
    page = replies.listed(m.VolumePage(volumes=(info(),)))

    assert as_1_12_reads(page.entries[0].status) is None
    assert as_1_12_reads(replies.got(info()).status) is None
    assert as_1_12_reads(replies.stats(STATS)) is None
    assert [c.rpc.type for c in capabilities.controller().capabilities].count(11) == 0
    assert [c.rpc.type for c in capabilities.node().capabilities].count(4) == 0


def test_the_capability_of_1_12_stands_beside_those_of_1_13():
    def numbers(reply) -> list[int]:
        read = type(reply).FromString(reply.SerializeToString())
        return [each.rpc.type for each in read.capabilities]

    assert {11, 16, 17} <= set(numbers(capabilities.controller(condition=True)))
    assert {4, 7, 8} <= set(numbers(capabilities.node(condition=True)))
    assert {16, 17} <= set(numbers(capabilities.controller()))
    assert {7, 8} <= set(numbers(capabilities.node()))


def test_what_is_wrong_with_a_volume_comes_with_status_reason_and_words():
    found = health.volume_health(m.VolumeHealth(name="pvc-1", ailments=(LOST, SLOW)))

    assert found.volume_id == "pvc-1"
    assert [(each.status, each.reason, each.message) for each in found.health_statuses] == [
        (pb.INACCESSIBLE, "DriveLost", "put it back"),
        (pb.DEGRADED, "DriveIsSlow", "look"),
    ]


def test_what_is_wrong_with_a_node_comes_with_status_reason_and_words():
    found = health.storage_health(m.StorageHealth(ailments=(LOST, SLOW)))

    assert [(each.status, each.reason, each.message) for each in found.backend_health] == [
        (pb.STORAGE_UNREACHABLE, "DriveLost", "put it back"),
        (pb.STORAGE_DEGRADED, "DriveIsSlow", "look"),
    ]


def test_an_effect_of_a_later_version_is_told_as_one_that_kubelet_does_not_drop():
    assert health.volume_health(m.VolumeHealth(name="a", ailments=(LATER,))).health_statuses[0].status == pb.DEGRADED
    assert health.storage_health(m.StorageHealth(ailments=(LATER,))).backend_health[0].status == pb.STORAGE_DEGRADED


def test_a_page_of_unwell_volumes_has_the_way_on():
    page = m.VolumeHealthPage(volumes=(m.VolumeHealth(name="a", ailments=(LOST,)),), next="t")

    reply = health.listed(page)

    assert ([entry.volume_id for entry in reply.entries], reply.next_token) == (["a"], "t")


@pytest.mark.parametrize(
    ("ask", "request_", "field"),
    [
        (health.get_from_controller, pb.ControllerGetVolumeHealthRequest(), "volume_id"),
        (health.get_from_node, pb.NodeGetVolumeHealthRequest(), "volume_id"),
        (health.get_from_node, pb.NodeGetVolumeHealthRequest(volume_id="../x"), "volume_id"),
        (
            health.get_from_node,
            pb.NodeGetVolumeHealthRequest(volume_id="a", volume_publish_path="x"),
            "volume_publish_path",
        ),
        (
            health.get_from_node,
            pb.NodeGetVolumeHealthRequest(volume_id="a", staging_target_path="/a/../b"),
            "staging_target_path",
        ),
        (health.list_from_controller, pb.ControllerListVolumeHealthRequest(max_entries=-1), "max_entries"),
    ],
)
def test_bad_input_is_refused_with_the_name_of_the_field(ask, request_, field):
    with pytest.raises(InvalidRequest, match=field):
        ask(request_)


def test_a_token_that_was_never_handed_out_is_no_page():
    with pytest.raises(InvalidToken):
        health.list_from_controller(pb.ControllerListVolumeHealthRequest(starting_token="x" * 5000))


def test_a_node_is_told_where_kubelet_wants_the_volume():
    asked = pb.NodeGetVolumeHealthRequest(
        volume_id="a", volume_publish_path="/pods/a/mount", staging_target_path="/plugins/a"
    )

    assert health.get_from_node(asked) == m.GetVolumeHealth(name="a", paths=("/pods/a/mount", "/plugins/a"))
