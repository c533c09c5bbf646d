"""What a good CSI request becomes on the bus."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.names import ACCESS_TIER, NODE, VOLUME_CLAIM_ID, AccessTier
from directpv_csi_gateway.core import controller, node
from directpv_csi_gateway.core.places import SLICE
from directpv_csi_gateway.pb import csi_pb2 as pb
from unit.gateway import requests as r

SECRET = {"password": "hunter2"}


def test_a_new_volume_carries_all_that_decides_its_place():
    here, there = {NODE: "n1"}, {NODE: "n2"}
    request = r.create(
        capacity_range=r.sizes(5, 7),
        parameters={ACCESS_TIER: "hot", "other.driver/x": "y"},
        accessibility_requirements=pb.TopologyRequirement(
            requisite=[pb.Topology(segments=here), pb.Topology(segments=there)], preferred=[pb.Topology(segments=there)]
        ),
    )

    assert r.asked(request) == m.CreateVolume(
        name="pvc-1",
        required=5,
        limit=7,
        parameters={ACCESS_TIER: "hot", "other.driver/x": "y"},
        requisite=(here,),
        preferred=(there,),
    )


def test_repeated_topology_terms_are_sent_once_and_in_order():
    terms = [pb.Topology(segments={NODE: name}) for name in ("n2", "n1", "n2")]
    request = r.create(accessibility_requirements=pb.TopologyRequirement(requisite=terms))

    assert r.asked(request).requisite == ({NODE: "n2"}, {NODE: "n1"})


def test_nodes_that_are_named_in_both_lists_go_on_once_and_others_have_their_turn_meanwhile():
    """As with Immediate binding: every node of a large cluster, twice, would not fit on the bus."""
    terms = [pb.Topology(segments={NODE: f"n{number}", "rack": "r1"}) for number in range(5_000)]
    places = pb.TopologyRequirement(requisite=terms, preferred=[*terms[1_234:], *terms[:1_234]])
    steps, turns = controller.create_volume(r.create(accessibility_requirements=places)), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            message = end.value
            break
        turns += 1

    assert [term[NODE] for term in message.preferred[:2]] == ["n1234", "n1235"]
    assert (len(message.preferred), message.requisite) == (5_000, ())
    assert turns >= 10_000 / SLICE - 1


def test_a_new_volume_without_capacity_range_has_no_bounds():
    message = r.asked(r.create(capacity_range=None))

    assert (message.required, message.limit) == (0, 0)


@pytest.mark.parametrize("tier", [*AccessTier, *(tier.upper() for tier in AccessTier)])
def test_an_access_tier_is_known_in_any_spelling(tier):
    assert r.asked(r.create(parameters={ACCESS_TIER: tier})).parameters == {ACCESS_TIER: tier}


@pytest.mark.parametrize("claim", [r.FSUUID, r.FSUUID.upper()])
def test_a_claim_id_is_a_uuid_in_either_case(claim):
    assert VOLUME_CLAIM_ID in r.asked(r.create(parameters={VOLUME_CLAIM_ID: claim})).parameters


def test_parameters_may_fill_4_kib():
    assert r.asked(r.create(parameters={"a": "b" * 4095})).parameters["a"] == "b" * 4095


@pytest.mark.parametrize(
    "message",
    [
        r.asked(r.create(secrets=SECRET)),
        controller.expand_volume(r.grow(secrets=SECRET)),
        controller.delete_volume(r.delete(secrets=SECRET)),
        node.stage_volume(r.stage(secrets=SECRET)),
        node.publish_volume(r.publish(secrets=SECRET)),
        node.expand_volume(r.node_grow(secrets=SECRET)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_secrets_do_not_go_on(message):
    assert "hunter2" not in repr(message)


@pytest.mark.parametrize(("asked", "sent"), [(0, 500), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500)])
def test_a_page_is_never_larger_than_the_bus_carries(asked, sent):
    assert controller.list_volumes(pb.ListVolumesRequest(max_entries=asked)).limit == sent


def test_a_paging_token_goes_on_as_it_is():
    assert controller.list_volumes(pb.ListVolumesRequest(starting_token="invalid-token")).token == "invalid-token"


def test_capacity_is_asked_for_one_class_in_one_place():
    request = pb.GetCapacityRequest(
        parameters={ACCESS_TIER: "Hot"}, accessible_topology=pb.Topology(segments={NODE: "n1"})
    )

    assert controller.get_capacity(request) == m.GetCapacity(parameters={ACCESS_TIER: "Hot"}, accessible={NODE: "n1"})


def test_staging_passes_on_the_hints_of_the_volume_context():
    assert node.stage_volume(r.stage()) == m.StageVolume(
        name="pvc-1", staging_path="/stage/pvc-1", fsuuid=r.FSUUID, capacity=r.GIB
    )


def test_a_volume_of_upstream_has_no_hints_and_is_staged_all_the_same():
    message = node.stage_volume(r.stage(volume_context={"storage.kubernetes.io/csiProvisionerIdentity": "1-x"}))

    assert (message.fsuuid, message.capacity) == ("", 0)


def test_publishing_passes_on_the_pod():
    assert node.publish_volume(r.publish()) == m.PublishVolume(
        name="pvc-1",
        staging_path="/stage/pvc-1",
        target_path="/pods/1/mount",
        pod_name="web-0",
        pod_namespace="shop",
        pod_uid="0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b",
    )


@pytest.mark.parametrize(
    ("changes", "read_only"),
    [
        pytest.param({}, False, id="plain"),
        pytest.param({"readonly": True}, True, id="by the request"),
        pytest.param({"volume_capability": r.capability(r.Mode.SINGLE_NODE_READER_ONLY)}, True, id="by the mode"),
        pytest.param({"volume_capability": r.capability(flags=("nosuid", "ro"))}, True, id="by a flag"),
        pytest.param({"volume_capability": r.capability(flags=("ro", "rw"))}, False, id="by a flag that is overruled"),
        pytest.param({"readonly": True, "volume_capability": r.capability(flags=("rw",))}, True, id="request and flag"),
    ],
)
def test_a_volume_is_published_read_only(changes, read_only):
    assert node.publish_volume(r.publish(**changes)).read_only is read_only


@pytest.mark.parametrize(
    ("mode", "single"),
    [
        (r.Mode.SINGLE_NODE_WRITER, False),
        (r.Mode.SINGLE_NODE_READER_ONLY, False),
        (r.Mode.SINGLE_NODE_SINGLE_WRITER, True),
        (r.Mode.SINGLE_NODE_MULTI_WRITER, False),
    ],
)
def test_only_single_writer_forbids_a_second_target(mode, single):
    assert node.publish_volume(r.publish(volume_capability=r.capability(mode))).single_writer is single


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (("noatime", "nodev"), ("noatime", "nodev")),
        (("ro", "rw"), ()),
        (("rw", "ro"), ("ro",)),
        (("noatime", "relatime", "strictatime"), ("strictatime",)),
        (("noatime", "atime"), ()),
        (("noexec", "defaults"), ()),
        (("noatime", "defaults", "nosuid"), ("noatime", "nosuid")),
        (("defaults", "discard", "inode64", "nouuid", "_netdev", "prjquota", "logbsize=256k", "x-mine=1"), ()),
    ],
)
@pytest.mark.parametrize("made_here", [True, False])
def test_of_mount_options_the_last_of_a_kind_holds_and_those_of_the_file_system_have_no_effect(
    options, flags, made_here
):
    capability = r.capability(flags=options)
    fields = {"volume_capability": capability} | ({} if made_here else {"volume_context": {}})

    assert node.stage_volume(r.stage(**fields)).mount_flags == flags
    assert node.publish_volume(r.publish(**fields)).mount_flags == flags
    assert r.asked(r.create(volume_capabilities=[capability])).name == "pvc-1"


@pytest.mark.parametrize(
    "options", [("sync",), ("context=system_u:object_r:tmp_t:s0", "nodev"), ("user", ""), ("X" * 5000,)]
)
def test_a_volume_of_upstream_is_mounted_and_grows_whatever_options_its_class_has(options):
    capability = r.capability(flags=options)
    flags = ("nodev",) if "nodev" in options else ()

    assert node.stage_volume(r.stage(volume_capability=capability, volume_context={})).mount_flags == flags
    assert node.publish_volume(r.publish(volume_capability=capability, volume_context={})).mount_flags == flags
    assert controller.expand_volume(r.grow(volume_capability=capability)).required == 2 * r.GIB
    assert node.expand_volume(r.node_grow(volume_capability=capability)).name == "pvc-1"


def test_an_empty_file_system_means_xfs():
    assert r.asked(r.create(volume_capabilities=[r.capability(fs_type="")])).name == "pvc-1"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("/a/b", "/a/b"),
        ("/a//b/./c/", "/a/b/c"),
        ("/pods/volumes/kubernetes.io~csi/pvc-1/mount", "/pods/volumes/kubernetes.io~csi/pvc-1/mount"),
        (f"/{'x' * 255}", f"/{'x' * 255}"),
        ("/a..b/..c", "/a..b/..c"),
        ("/größe", "/größe"),
    ],
)
def test_a_path_is_sent_in_its_shortest_spelling(given, sent):
    assert node.unpublish_volume(r.unpublish(target_path=given)).target_path == sent


def test_a_path_may_have_4095_bytes_and_no_more():
    longest = "/x" * 2047 + "y"

    assert node.volume_stats(r.stats(volume_path=longest)).volume_path == longest
    with pytest.raises(Exception, match="longer than 4095 bytes"):
        node.volume_stats(r.stats(volume_path=f"{longest}z"))


def test_growing_on_the_node_without_a_size_means_what_was_reserved():
    message = node.expand_volume(r.node_grow())

    assert (message.required, message.limit) == (0, 0)
