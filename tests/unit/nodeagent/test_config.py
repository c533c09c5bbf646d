"""Settings: bad ones are refused at the start, with the name of the setting."""

import pytest

from directpv_common.process.config import load
from directpv_common.protocol.names import TOPOLOGY_KEYS
from directpv_nodeagent.config import Config


def settings(*argv: str, **env: str) -> Config:
    return load(Config, argv, env, prog="directpv-nodeagent")


def test_the_topology_has_the_five_keys_that_existing_volumes_ask_for() -> None:
    topology = settings("--node-name=w1", "--zone=z", "--rack=r").topology

    assert topology.keys() == set(TOPOLOGY_KEYS)
    assert set(topology.values()) == {"directpv-min-io", "w1", "z", "r", "default"}


def test_devices_are_a_list_of_patterns() -> None:
    assert settings("--devices=nvme*, sd*").devices == ("nvme*", "sd*")
    assert settings(DIRECTPV_DEVICES="loop7").devices == ("loop7",)


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--quota=optional", "--quota"),
        ("--root=relative", "--root"),
        ("--node-name=Upper_Case", "--node-name"),
        ("--metrics-port=70000", "--metrics-port"),
        ("--readiness-port=x", "--readiness-port"),
        ("--scan-interval=0", "--scan-interval"),
        ("--heartbeat-interval=-1", "--heartbeat-interval"),
        ("--health-interval=-1", "--health-interval"),
        ("--health-interval=nan", "--health-interval"),
    ],
)
def test_a_bad_setting_is_named(argument: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings(argument)

    assert ended.value.code == 2
    assert named in capsys.readouterr().err
