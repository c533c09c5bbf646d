"""Bad input to any CSI call is INVALID_ARGUMENT, and the text names the field. Source: CSI 1.12, REQUIRED fields."""

import pytest

from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, InvalidRequest, InvalidToken, NotFound
from directpv_common.protocol.names import (
    ACCESS_TIER,
    BYTES_PER_INODE,
    CONTEXT_POD_NAME,
    DRIVE,
    VOLUME_CLAIM_ID,
    VOLUME_SIZE,
)
from directpv_csi_gateway.core import controller, node
from directpv_csi_gateway.pb import csi_pb2 as pb
from unit.gateway import requests as r

CALLS = {
    "create": (r.create, r.asked, "name"),
    "delete": (r.delete, controller.delete_volume, "volume_id"),
    "get": (r.get, controller.get_volume, "volume_id"),
    "grow": (r.grow, controller.expand_volume, "volume_id"),
    "validate": (r.validate, controller.validate, "volume_id"),
    "stage": (r.stage, node.stage_volume, "volume_id"),
    "unstage": (r.unstage, node.unstage_volume, "volume_id"),
    "publish": (r.publish, node.publish_volume, "volume_id"),
    "unpublish": (r.unpublish, node.unpublish_volume, "volume_id"),
    "stats": (r.stats, node.volume_stats, "volume_id"),
    "node grow": (r.node_grow, node.expand_volume, "volume_id"),
}
BAD_NAMES = {
    "missing": "",
    "parent directory": "..",
    "leads out of its directory": "../../etc/passwd",
    "slash": "a/b",
    "absolute": "/etc",
    "NUL": "pvc\0",
    "newline": "pvc-1\n",
    "escape sequence": "\x1b[2J",
    "space": "pvc 1",
    "hidden": ".directpv",
    "ends with a dot": "pvc.",
    "of a volume being purged": "pvc-1.deleted",
    "not ASCII": "volumé",
    "right to left mark": "pvc\u202e1",
    "129 characters": "x" * 129,
    "4,000 characters": "x" * 4000,
    "wildcard": "*",
}
BAD_PATHS = {
    "missing": "",
    "relative": "some/path",
    "parent": "/pods/../etc",
    "parent at the end": "/pods/..",
    "root": "/",
    "root in disguise": "/./",
    "NUL": "/pods/\0",
    "newline": "/pods/\n",
    "5,000 characters": "/x" * 2500,
    "long component": f"/{'x' * 256}",
}
PATHS = {
    "stage": "staging_target_path",
    "unstage": "staging_target_path",
    "publish": "target_path",
    "unpublish": "target_path",
    "stats": "volume_path",
    "node grow": "volume_path",
}


def refusal(call: str, kind: type[DirectPVError] = InvalidRequest, **changes: object) -> DirectPVError:
    """The error that ``call`` gives when its otherwise good request is changed so."""
    build, translate, _ = CALLS[call]
    with pytest.raises(kind) as caught:
        translate(build(**changes))
    assert type(caught.value) is kind
    return caught.value


@pytest.mark.parametrize("call", CALLS)
def test_the_good_request_that_the_tables_below_change_is_accepted(call):
    build, translate, _ = CALLS[call]

    assert translate(build()).name == "pvc-1"


@pytest.mark.parametrize("bad", BAD_NAMES)
@pytest.mark.parametrize("call", CALLS)
def test_a_volume_cannot_be_called(call, bad):
    field = CALLS[call][2]

    error = refusal(call, **{field: BAD_NAMES[bad]})

    assert error.details["field"] == field
    assert error.message.startswith(f"{field}: ")
    assert error.message.isprintable()
    assert len(error.message) < 400


@pytest.mark.parametrize("name", ["x", "x" * 128, "PVC_1.a-b", "pvc-0f3c2a1e-5b6d-4c7e-8f90-a1b2c3d4e5f6"])
@pytest.mark.parametrize("call", CALLS)
def test_a_volume_may_be_called(call, name):
    build, translate, field = CALLS[call]

    assert translate(build(**{field: name})).name == name


@pytest.mark.parametrize("bad", BAD_PATHS)
@pytest.mark.parametrize("call", PATHS)
def test_a_path_is_refused_when_it_is(call, bad):
    field = PATHS[call]
    # No volume is at a relative path: csi-sanity asks for NOT_FOUND where the call is about a volume in use.
    kind = NotFound if field == "volume_path" and bad == "relative" else InvalidRequest

    error = refusal(call, kind, **{field: BAD_PATHS[bad]})

    assert error.details["field"] == field
    assert error.message.isprintable()


@pytest.mark.parametrize("bad", [bad for bad in BAD_PATHS if bad != "missing"])
def test_the_staging_path_of_publish_is_refused_when_it_is(bad):
    assert refusal("publish", staging_target_path=BAD_PATHS[bad]).details["field"] == "staging_target_path"


def test_publish_without_staging_path_asks_for_staging_first():
    error = refusal("publish", FailedPrecondition, staging_target_path="")

    assert "NodeStageVolume" in error.message


@pytest.mark.parametrize(
    ("sizes", "field"),
    [
        pytest.param(r.sizes(-1), "capacity_range.required_bytes", id="negative"),
        pytest.param(r.sizes(-(2**63)), "capacity_range.required_bytes", id="lowest number"),
        pytest.param(r.sizes(r.GIB, -1), "capacity_range.limit_bytes", id="negative limit"),
        pytest.param(r.sizes(r.GIB, r.GIB - 1), "capacity_range.limit_bytes", id="limit one byte below required"),
        pytest.param(r.sizes(), "capacity_range", id="empty range"),
    ],
)
@pytest.mark.parametrize("call", ["create", "grow", "node grow"])
def test_a_capacity_range_is_refused_when_it_is(call, sizes, field):
    assert refusal(call, capacity_range=sizes).details["field"] == field


@pytest.mark.parametrize(("required", "limit"), [(1, 0), (r.GIB, r.GIB), (2**63 - 1, 2**63 - 1)])
@pytest.mark.parametrize("call", ["create", "grow", "node grow"])
def test_sizes_up_to_the_largest_number_reach_the_bus_as_they_are(call, required, limit):
    build, translate, _ = CALLS[call]

    message = translate(build(capacity_range=r.sizes(required, limit)))

    assert (message.required, message.limit) == (required, limit)


def test_a_size_of_2_to_the_63_on_the_wire_is_refused_as_negative():
    varint = bytes([0x08, *[0x80] * 9, 0x01])  # field 1, as a client without the bounds of int64 would send it

    error = refusal("create", capacity_range=pb.CapacityRange.FromString(varint))

    assert "-9223372036854775808 is negative" in error.message


def test_growing_needs_a_size():
    assert refusal("grow", capacity_range=None).details["field"] == "capacity_range"
    assert refusal("grow", capacity_range=r.sizes(0, r.GIB)).details["field"] == "capacity_range.required_bytes"


BAD_CAPABILITIES = {
    "block": (r.block(), "block"),
    "neither mount nor block": (pb.VolumeCapability(access_mode=r.Mode(mode=1)), "access_type"),
    "no access mode": (pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume()), "access_mode.mode"),
    "unknown access mode": (r.capability(mode=99), "access_mode.mode"),
    "negative access mode": (r.capability(mode=-1), "access_mode.mode"),
    "many readers": (r.capability(r.Mode.MULTI_NODE_READER_ONLY), "access_mode.mode"),
    "one writer, many readers": (r.capability(r.Mode.MULTI_NODE_SINGLE_WRITER), "access_mode.mode"),
    "many writers": (r.capability(r.Mode.MULTI_NODE_MULTI_WRITER), "access_mode.mode"),
    "ext4": (r.capability(fs_type="ext4"), "mount.fs_type"),
    "XFS in capitals": (r.capability(fs_type="XFS"), "mount.fs_type"),
    "4,000 characters of file system": (r.capability(fs_type="x" * 4000), "mount.fs_type"),
    "flag of the file system": (r.capability(flags=("nosuid", "sync")), "mount.mount_flags"),
    "remount": (r.capability(flags=("remount",)), "mount.mount_flags"),
    "bind": (r.capability(flags=("bind",)), "mount.mount_flags"),
    "two flags in one": (r.capability(flags=("ro,suid",)), "mount.mount_flags"),
    "empty flag": (r.capability(flags=("",)), "mount.mount_flags"),
    "flag with NUL": (r.capability(flags=("ro\0",)), "mount.mount_flags"),
    "4 KiB of flags": (r.capability(flags=("ro",) * 3000), "mount.mount_flags"),
    "mount group": (
        pb.VolumeCapability(
            mount=pb.VolumeCapability.MountVolume(volume_mount_group="1000"), access_mode=r.Mode(mode=1)
        ),
        "mount.volume_mount_group",
    ),
}


@pytest.mark.parametrize("bad", BAD_CAPABILITIES)
@pytest.mark.parametrize("call", ["stage", "publish", "grow", "node grow"])
def test_a_capability_is_refused_when_it_asks_for(call, bad):
    capability, field = BAD_CAPABILITIES[bad]
    if field == "mount.mount_flags" and call.endswith("grow"):
        return  # is mounted already; see test_a_volume_of_upstream_is_mounted_and_grows_whatever_options_its_class_has

    assert refusal(call, volume_capability=capability).details["field"] == f"volume_capability.{field}"


@pytest.mark.parametrize("bad", BAD_CAPABILITIES)
def test_the_second_capability_of_a_new_volume_is_refused_by_its_place_when_it_asks_for(bad):
    capability, field = BAD_CAPABILITIES[bad]

    error = refusal("create", volume_capabilities=[r.capability(), capability])

    assert error.details["field"] == f"volume_capabilities[1].{field}"
    with pytest.raises(InvalidRequest):
        controller.get_capacity(pb.GetCapacityRequest(volume_capabilities=[capability]))


@pytest.mark.parametrize("call", ["stage", "publish"])
def test_a_mount_needs_a_capability(call):
    assert refusal(call, volume_capability=None).details["field"] == "volume_capability"


@pytest.mark.parametrize("call", ["create", "validate"])
def test_a_list_of_capabilities_must_not_be_empty(call):
    assert refusal(call, volume_capabilities=[]).details["field"] == "volume_capabilities"


def test_what_follows_the_equals_sign_of_a_flag_is_not_repeated():
    error = refusal("stage", volume_capability=r.capability(flags=("password=hunter2",)))

    assert "password" in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("access-tier", "directpv.min.io/access-tier"),
        ("accessTier", "directpv.min.io/access-tier"),
        ("Acces-Tier", "directpv.min.io/access-tier"),
        ("volume_claim_id", "directpv.min.io/volume-claim-id"),
        ("bytes-per-inodes", "directpv.min.io/bytes-per-inode"),
        ("Directpv.min.io/access-tier", "directpv.min.io/access-tier"),
        ("directpv.minio.io/access-tier", "directpv.min.io/access-tier"),
        ("directpv-min-io/rack", "directpv.min.io/rack"),
        ("directpv.min.io/Access-Tier", "directpv.min.io/access-tier"),
        ("directpv.min.io/access_tier", "directpv.min.io/access-tier"),
    ],
)
def test_a_parameter_that_is_nearly_one_of_ours_is_refused_and_the_right_one_named(key, meant):
    error = refusal("create", parameters={key: "Hot"})

    assert key in error.details["field"]
    assert f"write {meant}," in error.message
    with pytest.raises(InvalidRequest):
        controller.get_capacity(pb.GetCapacityRequest(parameters={key: "Hot"}))


@pytest.mark.parametrize("value", ["0", "16KiB", "-4096", ""])
def test_bytes_per_inode_that_cannot_be_are_refused_when_the_volume_is_made(value):
    error = refusal("create", parameters={BYTES_PER_INODE: value})

    assert BYTES_PER_INODE in error.details["field"]


@pytest.mark.parametrize(
    "key", ["fstype", "type", "tier", "claim-id", "example.org/access-tier", "csi.storage.k8s.io/pvc/name", "iops"]
)
def test_parameters_of_others_are_let_pass(key):
    assert r.asked(r.create(parameters={key: "x"})).parameters == {key: "x"}


@pytest.mark.parametrize("key", ["directpv.min.io/shelf", "directpv.min.io/acces-tiers-of-mine"])
def test_any_key_of_our_group_may_name_a_label(key):
    assert r.asked(r.create(parameters={key: "x"})).parameters == {key: "x"}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        pytest.param({ACCESS_TIER: "Lukewarm"}, ACCESS_TIER, id="unknown tier"),
        pytest.param({VOLUME_CLAIM_ID: "42"}, VOLUME_CLAIM_ID, id="claim id that is no UUID"),
        pytest.param({VOLUME_CLAIM_ID: f"{r.FSUUID}\n"}, VOLUME_CLAIM_ID, id="UUID and a newline"),
        pytest.param({"a\0": "b"}, "a", id="NUL in a key"),
        pytest.param({"a": "b\n"}, "a", id="newline in a value"),
        pytest.param({"": "b"}, "parameters", id="empty key"),
        pytest.param({"a": "b" * 4096}, "parameters", id="one byte more than 4 KiB"),
        pytest.param({str(i): "b" * 100 for i in range(50)}, "parameters", id="many"),
    ],
)
def test_parameters_are_refused_when_they_hold(parameters, named):
    assert named in refusal("create", parameters=parameters).details["field"]
    with pytest.raises(InvalidRequest):
        controller.get_capacity(pb.GetCapacityRequest(parameters=parameters))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param(
            {"volume_content_source": {"snapshot": {"snapshot_id": "s"}}}, "volume_content_source", id="from a snapshot"
        ),
        pytest.param({"volume_content_source": {"volume": {"volume_id": "v"}}}, "volume_content_source", id="clone"),
        pytest.param({"volume_content_source": {}}, "volume_content_source", id="from nothing named"),
        pytest.param({"mutable_parameters": {"a": "b"}}, "mutable_parameters", id="mutable parameters"),
        pytest.param(
            {"accessibility_requirements": {"requisite": [{"segments": {"a": "\0"}}]}},
            "accessibility_requirements.requisite[0].segments['a']",
            id="NUL in the topology",
        ),
        pytest.param(
            {"accessibility_requirements": {"preferred": [{}] * 10_001}},
            "accessibility_requirements.preferred",
            id="endless topology",
        ),
    ],
)
def test_a_new_volume_is_refused_when_it_asks_for(change, field):
    assert field in refusal("create", **change).message


@pytest.mark.parametrize(
    ("context", "field"),
    [
        pytest.param({DRIVE: "../../x"}, DRIVE, id="drive that is no UUID"),
        pytest.param({DRIVE: r.FSUUID.upper()}, DRIVE, id="drive in capitals"),
        pytest.param({VOLUME_SIZE: "-1"}, VOLUME_SIZE, id="negative size"),
        pytest.param({VOLUME_SIZE: "9223372036854775808"}, VOLUME_SIZE, id="size of 2^63"),
        pytest.param({VOLUME_SIZE: "9" * 4000}, VOLUME_SIZE, id="size of 4,000 digits"),
        pytest.param({VOLUME_SIZE: "1e3"}, VOLUME_SIZE, id="size that is no integer"),
        pytest.param({VOLUME_SIZE: "٣"}, VOLUME_SIZE, id="digits of another script"),
    ],
)
def test_the_context_of_a_volume_is_refused_when_it_holds(context, field):
    assert field in refusal("stage", volume_context=context).details["field"]


@pytest.mark.parametrize("name", ["web\0", "x" * 254, "a\nb"], ids=["NUL", "254 characters", "newline"])
def test_a_pod_cannot_be_called(name):
    assert CONTEXT_POD_NAME in refusal("publish", volume_context={CONTEXT_POD_NAME: name}).details["field"]


def test_inline_ephemeral_volumes_are_refused_with_what_to_use_instead():
    error = refusal("publish", volume_context={"csi.storage.k8s.io/ephemeral": "true"}, staging_target_path="")

    assert "volumeClaimTemplate" in error.message


def test_a_page_cannot_have_a_negative_number_of_entries():
    with pytest.raises(InvalidRequest, match="max_entries"):
        controller.list_volumes(pb.ListVolumesRequest(max_entries=-1))


@pytest.mark.parametrize("token", ["x" * 1025, "\0", "a\nb"], ids=["too long", "NUL", "newline"])
def test_a_paging_token_that_was_never_handed_out_is_told_to_begin_again(token):
    with pytest.raises(InvalidToken, match="without a token"):
        controller.list_volumes(pb.ListVolumesRequest(starting_token=token))
