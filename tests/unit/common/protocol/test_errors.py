"""Errors cross the wire as errors, and every one has its codes."""

import pytest

from directpv_common.process.command import CommandFailed
from directpv_common.protocol import errors

CONCRETE = sorted((kind for kind in errors.CODES), key=lambda kind: kind.__name__)


def test_every_error_has_a_row_in_the_table():
    tree = {kind for kind in errors.DirectPVError.__subclasses__() if kind.__module__ == errors.__name__}

    assert tree == set(errors.CODES)


@pytest.mark.parametrize("kind", CONCRETE)
def test_an_error_that_crosses_the_wire_is_the_same_error_again(kind):
    back = kind("what went wrong", field="size").as_failure().as_error()

    assert (type(back), back.message, back.details) == (kind, "what went wrong", {"field": "size"})


def test_a_reason_of_a_newer_version_becomes_internal_and_keeps_its_text():
    back = errors.Failure(code=400, reason="QuotaOfTomorrow", message="too full").as_error()

    assert isinstance(back, errors.Internal)
    assert back.message == "QuotaOfTomorrow: too full"


def test_a_refinement_of_an_error_crosses_the_wire_as_the_error_in_the_table():
    assert isinstance(CommandFailed("mkfs said no").as_failure().as_error(), errors.DriveFault)


def test_an_unexpected_exception_does_not_show_its_text_to_the_caller():
    from directpv_common.bus.bus import reraise

    assert "secret" not in reraise(KeyError("secret")).message
