"""Our csi.proto against the official one of CSI 1.13, and against the modules that were generated from it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

import directpv_csi_gateway.pb as pb_package

ROOT = Path(__file__).parents[3]
PB = Path(pb_package.__file__).parent
PROTO = "directpv_csi_gateway/pb/csi.proto"
GO_SECONDS = 120
LEFT_OUT_SERVICES = {"GroupController", "SnapshotMetadata"}
"""Not offered: a call to them is UNIMPLEMENTED by itself."""


def described(folder: Path, name: str, out: Path) -> FileDescriptorProto:
    """Compile ``name`` below ``folder``."""
    argv = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(folder), f"--descriptor_set_out={out}", name]
    subprocess.run(argv, check=True, timeout=60)
    return FileDescriptorSet.FromString(out.read_bytes()).file[0]


def facts(file: FileDescriptorProto) -> dict[str, Any]:
    """All that goes over the wire, by full name: what a peer could tell apart."""
    found: dict[str, Any] = {"package": file.package, "syntax": file.syntax}
    for message in file.message_type:
        found |= _message(message.name, message)
    for enum in file.enum_type:
        found |= _enum(enum.name, enum)
    for service in file.service:
        for rpc in service.method:
            streams = rpc.client_streaming, rpc.server_streaming
            found[f"rpc {service.name}/{rpc.name}"] = (rpc.input_type, rpc.output_type, *streams)
    return found


def _message(name: str, message: DescriptorProto) -> dict[str, Any]:
    oneofs = [oneof.name for oneof in message.oneof_decl]
    fields = {
        field.name: (
            field.number,
            field.Type.Name(field.type),
            field.type_name,
            field.Label.Name(field.label),
            oneofs[field.oneof_index] if field.HasField("oneof_index") else None,
            field.proto3_optional,
        )
        for field in message.field
    }
    found: dict[str, Any] = {f"message {name}": (fields, message.options.map_entry)}
    for nested in message.nested_type:
        found |= _message(f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        found |= _enum(f"{name}.{enum.name}", enum)
    return found


def _enum(name: str, enum: EnumDescriptorProto) -> dict[str, Any]:
    return {f"enum {name}": {value.name: value.number for value in enum.value}}


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorProto:
    """The official definition, from the Go module that tests/sanity/spec pins."""
    argv = [ROOT / "scripts/go", "mod", "download", "-json", "github.com/container-storage-interface/spec"]
    done = subprocess.run(
        argv, cwd=ROOT / "tests/sanity/spec", check=False, capture_output=True, text=True, timeout=GO_SECONDS
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return described(Path(json.loads(done.stdout)["Dir"]), "csi.proto", tmp_path_factory.mktemp("official") / "set")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorProto:
    return described(PB.parents[1], PROTO, tmp_path_factory.mktemp("ours") / "set")


def test_everything_that_we_define_is_as_in_the_official_definition(ours, official):
    real = facts(official)
    differences = {name: (fact, real.get(name)) for name, fact in facts(ours).items() if fact != real.get(name)}

    assert differences == {}


def test_we_lack_nothing_but_what_we_leave_out_on_purpose(ours, official):
    ours_facts, real = facts(ours), facts(official)
    missing = real.keys() - ours_facts.keys()
    left_out = {name for name in real if name.startswith("rpc ") and name[4:].partition("/")[0] in LEFT_OUT_SERVICES}
    used = {_plain(kind) for name in left_out for kind in real[name][:2]}
    while more := {_plain(kind) for name in used for kind in _types(real.get(f"message {name}"))} - used:
        used |= more
    of_them = {name for name in real if name.partition(" ")[2].split(".")[0] in {kind.split(".")[0] for kind in used}}

    assert sorted(missing - left_out - of_them) == []
    print("left out on purpose:", *sorted(missing), sep="\n  ")


def _plain(type_name: str) -> str:
    return type_name.removeprefix(".csi.v1.")


def _types(message: Any) -> set[str]:
    """Names of the types that the fields of ``message`` have."""
    return {field[2] for field in message[0].values() if field[2]} if message else set()


def test_the_generated_modules_are_what_the_definition_gives(tmp_path):
    subprocess.run([ROOT / "scripts/proto", tmp_path], check=True, timeout=60)

    for name in ("csi_pb2.py", "csi_pb2.pyi", "csi_grpc.py"):
        assert (tmp_path / "directpv_csi_gateway/pb" / name).read_text() == (PB / name).read_text(), name
