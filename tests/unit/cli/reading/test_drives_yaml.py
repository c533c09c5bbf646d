"""drives.yaml: what discover writes is what init reads; a person may edit it in between."""

import pytest
import yaml

import directpv_common.messages as m
from directpv_cli.reading.drives_yaml import parse, render


def device(name: str = "sda", **changes: object) -> m.Device:
    facts = {"name": name, "id": f"8:0${name}", "major_minor": "8:0", "size": 2**30, "make": "Acme Disk9"}
    return m.Device(**{**facts, **changes})  # type: ignore[arg-type]


def test_an_empty_device_is_selected_and_comes_back_as_written():
    assert parse(render([("n1", device())])) == [
        m.InitDevices(node="n1", devices=(m.FormatDevice(id="8:0$sda", name="sda", force=False),))
    ]


def test_a_device_with_a_signature_is_listed_but_not_selected():
    text = render([("n1", device(fs_type="LVM2_member", needs_force=True))])

    assert parse(text) == []
    assert yaml.safe_load(text)["nodes"][0]["drives"][0]["select"] == "no"


def test_selecting_a_device_with_a_signature_means_force():
    text = render([("n1", device(fs_type="ext4", needs_force=True))]).replace('"no"', '"yes"')

    assert parse(text)[0].devices[0].force


def test_a_denied_device_is_left_out():
    assert "sda" not in render([("n1", device(denied=("Mounted",)))])


def test_the_file_has_the_keys_of_upstream():
    text = render([("n1", device(fs_type="xfs"))])

    drive = {"id": "8:0$sda", "name": "sda", "size": 2**30, "make": "Acme Disk9", "fs": "xfs", "select": "yes"}
    assert yaml.safe_load(text) == {"version": "v1", "nodes": [{"name": "n1", "drives": [drive]}]}


@pytest.mark.parametrize("select", ['"YES"', "yes", "Yes", "true"])
def test_a_device_is_selected_by(select):
    text = render([("n1", device())]).replace('"yes"', select)

    assert len(parse(text)[0].devices) == 1


@pytest.mark.parametrize("select", ['"no"', "no", '"y"', "1", '""', "[]"])
def test_a_device_is_not_selected_by(select):
    assert parse(render([("n1", device())]).replace('"yes"', select)) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "version"),
        ("[]", "version"),
        ("version: v2", "v2"),
        ("version: v1\nnodes: 5", "nodes"),
        ("version: v1\nnodes:\n- drives: []", r"nodes\[0\].name"),
        ("version: v1\nnodes:\n- name: n\n  drives: [5]", r"nodes\[0\].drives\[0\]"),
        ('version: v1\nnodes:\n- name: n\n  drives:\n  - {select: "yes", name: sda}', r"drives\[0\].id"),
        ('version: v1\nnodes:\n- name: n\n  drives:\n  - {select: "yes", id: 5, name: sda}', r"drives\[0\].id"),
        ("version: v1\n  bad: [", "not YAML"),
        ("version: v1\nnodes: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_a_malformed_file_is_refused_and_the_place_named(text, named):
    with pytest.raises(ValueError, match=named):
        parse(text)


def test_a_device_listed_twice_is_refused():
    text = render([("n1", device("sda")), ("n1", device("sda"))])

    with pytest.raises(ValueError, match="sda is listed more than once"):
        parse(text)
