"""What is read from the wire is validated; what is written can be read."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import InvalidRequest, TooLarge
from directpv_common.protocol.wire import DEFLATE, PACKED, decode, encode, pack, unpack

FSUUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        pytest.param(b'{"name":"v"}', "$", id="field missing"),
        pytest.param(b'{"name":"v","required":"10"}', "$.required", id="text for a number"),
        pytest.param(b'{"name":"v","required":true}', "$.required", id="boolean for a number"),
        pytest.param(b'{"name":"v","required":1.5}', "$.required", id="fraction"),
        pytest.param(b'{"name":"v","required":0}', "$.required", id="zero"),
        pytest.param(b'{"name":"v","required":-1}', "$.required", id="negative"),
        pytest.param(b'{"name":"v","required":9223372036854775808}', "$.required", id="2^63"),
        pytest.param(b'{"name":null,"required":1}', "$.name", id="null"),
        pytest.param(b'{"name":"../v","required":1}', "$.name", id="path"),
        pytest.param(b'{"name":"v\\n","required":1}', "$.name", id="line feed at the end"),
        pytest.param(b'{"name":"v\\u0000","required":1}', "$.name", id="NUL"),
        pytest.param(b'{"name":"' + b"v" * 129 + b'","required":1}', "$.name", id="129 characters"),
        pytest.param(b"[]", "$", id="a list"),
        pytest.param(b"", "$", id="nothing"),
        pytest.param(b'{"name":"\xff","required":1}', "$", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "$", id="deep nesting"),
    ],
)
def test_bad_input_is_refused_and_the_field_named(data, field):
    with pytest.raises(InvalidRequest) as refused:
        decode(data, m.ExpandVolume)

    assert refused.value.details["field"] == field


def test_a_field_of_a_newer_version_is_ignored():
    assert decode(b'{"name":"v","colour":"red"}', m.VolumeId) == m.VolumeId(name="v")


@given(
    st.builds(
        m.VolumeRecord,
        name=st.from_regex(m.VOLUME_NAME_PATTERN),
        fsuuid=st.just(FSUUID),
        capacity=st.integers(1, m.MAX_INT64),
        parameters=st.dictionaries(st.text(), st.text()),
        deleting=st.booleans(),
    )
)
def test_a_message_is_the_same_after_the_wire(record):
    assert decode(encode(record), m.VolumeRecord) == record


def test_nested_messages_are_written_whole():
    drive = m.DriveRecord(fsuuid=FSUUID, node="n1", total=10, overhead=1, labels={"a": "b"})
    inventory = m.Inventory(
        info=m.NodeInfo(name="n1", topology={}), boot="b", drives=(m.HeldDrive(record=drive, generation=3),)
    )

    assert decode(encode(inventory), m.Inventory) == inventory


FENCE = m.Fence(registry="r", epoch=1)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (m.CreateVolume(name="v", required=1, parameters={"a": "b"}), "name required parameters"),
        (m.ExpandVolume(name="v", required=1, limit=2), "name required limit"),
        (m.ChangeVolume(name="v", suspended=True), "name suspended"),
        (m.RemoveVolume(name="v", fsuuid=FSUUID, fence=FENCE), "name fsuuid fence"),
        (m.StageVolume(name="v", staging_path="/s", fsuuid=FSUUID, capacity=1), "name staging_path fsuuid capacity"),
        (m.PublishVolume(name="v", staging_path="/s", target_path="/t"), "name staging_path target_path"),
        (m.UnpublishVolume(name="v", target_path="/t"), "name target_path"),
        (m.UnstageVolume(name="v", staging_path="/s"), "name staging_path"),
        (m.ExpandNodeVolume(name="v", volume_path="/t", required=1), "name volume_path required"),
        (m.StatVolume(name="v", volume_path="/t"), "name volume_path"),
        (m.ChangeDrive(fsuuid=FSUUID, unschedulable=True), "fsuuid unschedulable"),
        (m.OrderRepair(fsuuid=FSUUID, id="i", dry_run=True, fence=FENCE), "fsuuid id dry_run fence"),
        (m.ListDrives(nodes=("n",), devices=("d",), ids=("i",), limit=1), "nodes devices ids limit"),
        (m.ListVolumes(nodes=("n",), devices=("d",), drives=("i",), limit=1), "nodes devices drives limit"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, m.Message) else "",
)
def test_fields_of_a_base_are_written_first_and_defaults_not_at_all(message, fields):
    assert list(json.loads(encode(message))) == fields.split()
    assert decode(encode(message), type(message)) == message


@pytest.mark.parametrize("name", ["a", "pvc-1", "A.b_c-9", "v" * 128])
def test_a_volume_may_be_called(name):
    assert m.is_volume_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", ".hidden", "-a", "a-", "v" * 129, "a\n", "a\0", "pvc-1.deleted", "ä", "a b"]
)
def test_a_volume_may_not_be_called(name):
    assert not m.is_volume_name(name)


def test_words_that_are_no_unicode_are_sent_as_such_and_silence_nothing_else() -> None:
    broken = b"/mnt/\xff\xfe/data".decode(errors="surrogateescape")
    use = m.VolumeUse(staged=broken, published=("/fine", broken))

    assert decode(encode(use), m.VolumeUse) == m.VolumeUse(
        staged="/mnt/\ufffd\ufffd/data", published=("/fine", "/mnt/\ufffd\ufffd/data")
    )
    assert b"/fine" in encode({broken: ["/fine"]})


def test_numbers_of_more_than_64_bits_are_sent_as_text_and_silence_nothing_else() -> None:
    sent = {"sum": 2**64, "debt": -(2**63) - 1, "most": 2**64 - 1, "fine": [1]}

    assert json.loads(encode(sent)) == {"sum": str(2**64), "debt": str(-(2**63) - 1), "most": 2**64 - 1, "fine": [1]}


@pytest.mark.parametrize("size", [0, 1000, 3_000_000], ids=["empty", "small", "large"])
def test_what_is_packed_is_the_same_when_it_is_unpacked(size: int) -> None:
    data, headers = b"0123456789abcdef" * (size // 16), dict[str, str]()
    packed = pack(data, headers)

    assert unpack(packed, headers) == data
    assert bool(headers) is (size > 1_000_000)
    assert len(packed) <= (len(data) // 10 if headers else len(data))


@pytest.mark.parametrize("how", ["zstd", "deflate", ""])
def test_a_body_that_is_not_packed_as_it_says_is_refused_and_the_header_named(how: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        unpack(b"plain", {PACKED: how})
    assert refused.value.details["field"] == PACKED


def test_a_body_that_would_fill_the_memory_is_not_unpacked() -> None:
    with pytest.raises(TooLarge):
        unpack(zlib.compress(bytes(70 * 1024 * 1024)), {PACKED: DEFLATE})
