"""drives.yaml: what discover writes is what init reads; a person may edit it in between."""

import pytest
import yaml

import directpv_common.protocol.messages as m
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


@pytest.mark.parametrize("select", ['"no"', "no", "No", "false", "off"])
def test_a_device_is_not_selected_by(select):
    assert parse(render([("n1", device())]).replace('"yes"', select)) == []


def test_a_device_of_which_nothing_is_said_is_not_selected():
    text = render([("n1", device())])

    assert parse("".join(line for line in text.splitlines(True) if "select" not in line)) == []


@pytest.mark.parametrize("select", ['"y"', "1", '""', "[]", "{}", "maybe", "~", "!!binary eWVz", '["yes"]'])
def test_a_device_that_is_neither_selected_nor_not_refuses_the_whole_file(select):
    text = render([("n1", device("sda")), ("n1", device("sdb"))])
    head, _, tail = text.rpartition('"yes"')

    with pytest.raises(ValueError, match=r'^line 14: nodes\[0\].drives\[1\].select: .*write "yes"'):
        parse(f"{head}{select}{tail}")


@pytest.mark.parametrize(
    ("line", "twice", "complaint"),
    [
        ("select", 'select: "no"', "line 10: .*select: given twice, first in line 9; keep one"),
        ("select", "Select: no", "line 10: .*Select: unknown key; write select"),
        ("select", "force: true", "line 10: .*force: unknown key; use id, name"),
        ("select", "<<: {select: no}", "line 10: .*unknown key"),
        ("select", "[select]: no", "line 10: .*unknown key"),
        ("name: sda", "name: sdb", "line 7: .*name: given twice, first in line 6"),
        ("version", "version: v1", "line 2: version: given twice, first in line 1"),
        ("version", "nodes: []", "line 3: nodes: given twice"),
    ],
)
def test_a_key_that_is_given_twice_or_unknown_refuses_the_whole_file(line, twice, complaint):
    rows = render([("n1", device())]).splitlines()
    index = next(index for index, row in enumerate(rows) if line in row)
    indent = " " * (len(rows[index]) - len(rows[index].lstrip(" -")))

    with pytest.raises(ValueError, match=complaint):
        parse("\n".join([*rows[: index + 1], indent + twice, *rows[index + 1 :]]))


@pytest.mark.parametrize(
    ("key", "value"),
    [("id", "5"), ("name", "yes"), ("size", "large"), ("size", "1.5"), ("make", "[]"), ("fs", "true"), ("fs", "{}")],
)
def test_a_value_of_another_type_refuses_the_whole_file(key, value):
    text = render([("n1", device(fs_type="xfs"))])
    head, drive = text.split("drives:")
    lines = [f"{row.partition(':')[0]}: {value}" if f"{key}: " in row else row for row in drive.splitlines()]

    with pytest.raises(ValueError, match=rf"^line \d+: nodes\[0\].drives\[0\].{key}: must be"):
        parse(f"{head}drives:{chr(10).join(lines)}")


def test_what_discover_writes_is_read_whatever_the_devices_are_called():
    odd = [device("sda", make="7200"), device("sdb", make="yes: 'no' # \u00e9\U0001f4be\x07"), device("sdc", make="~")]

    assert len(parse(render([("1e3", one) for one in odd]))[0].devices) == 3


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
        ("version: v1\nnodes: !!python/object/apply:os.system ['true']", "line 2: nodes: must be a list"),
    ],
)
def test_a_malformed_file_is_refused_and_the_place_named(text, named):
    with pytest.raises(ValueError, match=named):
        parse(text)


@pytest.mark.parametrize("second", ["yes", "no"])
@pytest.mark.parametrize("name", ["sda", "sdb"])
def test_a_device_listed_twice_is_refused_by_name_and_by_id(name, second):
    text = render([("n1", device("sda")), ("n1", device(name, id="8:0$sda"))])
    head, _, tail = text.rpartition('"yes"')

    with pytest.raises(ValueError, match=r"line 10: .*sda of node n1 is listed more than once, first in line 5"):
        parse(f'{head}"{second}"{tail}')


def test_devices_of_one_name_on_two_nodes_are_two():
    assert len(parse(render([("n1", device()), ("n2", device())]))) == 2


def test_two_documents_in_one_file_are_refused():
    text = render([("n1", device())])

    with pytest.raises(ValueError, match=r"not YAML: .*single document"):
        parse(f"{text}---\n{text}")
