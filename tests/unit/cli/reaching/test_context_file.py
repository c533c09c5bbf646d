"""The context of the nats CLI ends with the key that it shows."""

import pytest

from directpv_cli.reaching import context_file


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_a_context_goes_with_its_key_and_that_of_another_stays():
    path = context_file.write("directpv", {"url": "nats://127.0.0.1:1", "nkey": "/one/observer.nkey"})
    context_file.take_away("directpv", "/two/observer.nkey")
    assert path.exists()

    context_file.take_away("directpv", "/one/observer.nkey")
    assert not path.exists()
    context_file.take_away("directpv", "/one/observer.nkey")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"no json"])
def test_what_is_no_context_of_ours_stays(content):
    path = context_file.write("directpv", {})
    path.write_bytes(content)
    context_file.take_away("directpv", "/one/observer.nkey")

    assert path.read_bytes() == content
