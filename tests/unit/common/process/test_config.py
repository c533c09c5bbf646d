"""Settings come from flags, then the environment, then defaults."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from msgspec import Meta

from directpv_common.process.config import load, option


@dataclass(frozen=True)
class Settings:
    """Settings of a test."""

    nats_url: str = option("nats://here", "bus")
    seconds: float = option(3.0, "how long")
    enforce: bool = option(True, "whether")
    devices: tuple[str, ...] = option(("*",), "which")
    node: Annotated[str, Meta(pattern=r"^[a-z0-9]+\Z")] = option("n1", "where")

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError("seconds must be positive")


def settings(*argv: str, **env: str) -> Settings:
    return load(Settings, argv, {f"DIRECTPV_{key}": value for key, value in env.items()}, prog="test")


def test_defaults_hold_when_nothing_is_said():
    assert settings() == Settings()


def test_a_flag_beats_the_environment():
    assert settings("--nats-url", "nats://flag", NATS_URL="nats://env").nats_url == "nats://flag"


def test_the_environment_beats_the_default():
    assert settings(SECONDS="1.5", ENFORCE="false", DEVICES="loop1, loop2") == Settings(
        seconds=1.5, enforce=False, devices=("loop1", "loop2")
    )


@pytest.mark.parametrize(
    ("argv", "env", "named"),
    [
        pytest.param(["--seconds", "soon"], {}, "--seconds", id="flag of a wrong type"),
        pytest.param([], {"SECONDS": "soon"}, "DIRECTPV_SECONDS", id="variable of a wrong type"),
        pytest.param(["--node", "N_1"], {}, "--node", id="outside of the bounds of its type"),
        pytest.param(["--seconds", "-1"], {}, "must be positive", id="refused by the settings themselves"),
        pytest.param(["--second", "1"], {}, "--second", id="abbreviated flag"),
    ],
)
def test_bad_input_ends_the_program_and_names_the_setting(argv, env, named, capsys):
    with pytest.raises(SystemExit) as ended:
        settings(*argv, **env)

    assert ended.value.code == 2
    assert named in capsys.readouterr().err
