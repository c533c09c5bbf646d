"""Two secrets of the bus: what is made of both is known, and the same whichever of them is used."""

from pathlib import Path

from directpv_common.access.installation import ALSO, certificates_of, keys_of, read_keys

FIRST, SECOND = "f" * 64, "s" * 64


def test_certificates_are_the_same_text_whichever_secret_is_used(tmp_path: Path) -> None:
    one, two = keys_of(FIRST), keys_of(SECOND)
    assert certificates_of((one, two)) == certificates_of((two, one))
    assert certificates_of((one, two)).count("BEGIN CERTIFICATE") == 2
    (tmp_path / "secret").write_text(FIRST)
    assert [keys.route for keys in read_keys(str(tmp_path / "secret"))] == [one.route]
    (tmp_path / ALSO).write_text(SECOND)
    assert [keys.route for keys in read_keys(str(tmp_path / "secret"))] == [one.route, two.route]
    assert read_keys("") == ()
