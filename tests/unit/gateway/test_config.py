"""Settings of the gateway: what is refused, and how."""

import pytest

from directpv_common.process.config import load
from directpv_csi_gateway.config import Config, Mode


def loaded(*argv: str, **env: str) -> Config:
    return load(Config, argv, env, prog="directpv-csi-gateway")


@pytest.mark.parametrize("given", ["/csi/csi.sock", "unix:///csi/csi.sock", "unix:/csi/csi.sock"])
def test_the_socket_is_a_path_with_or_without_scheme(given):
    assert loaded("--csi-socket", given, "--mode", "controller").socket_path == "/csi/csi.sock"


def test_a_controller_needs_no_node_name():
    assert loaded(DIRECTPV_MODE="controller").mode is Mode.CONTROLLER


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        pytest.param([], "node_name", id="mode all without node"),
        pytest.param(["--mode", "node"], "node_name", id="mode node without node"),
        pytest.param(["--mode", "both"], "--mode", id="unknown mode"),
        pytest.param(["--node-name", "n1", "--drain-seconds", "-1"], "drain_seconds", id="negative drain"),
        pytest.param(["--node-name", "n1", "--drain-seconds", "nan"], "drain_seconds", id="drain of no number"),
        pytest.param(["--node-name", "n1", "--subject-prefix", "a..b"], "prefix", id="bad prefix"),
        pytest.param(["--node-name", "N 1"], "node_name", id="no node name"),
        pytest.param(["--node-name", "n1", "--metrics-port", "70000"], "metrics_port", id="no port"),
    ],
)
def test_settings_are_refused_and_named(argv, named, capsys):
    with pytest.raises(SystemExit):
        loaded(*argv)

    assert named in capsys.readouterr().err
