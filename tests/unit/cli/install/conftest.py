"""Every way of having NATS, beside the other choices that change objects."""

import pytest

from unit.cli.install.builders import ALL, Object, built


@pytest.fixture(params=ALL, ids=str)
def items(request: pytest.FixtureRequest) -> list[Object]:
    one_part, other_part = request.param
    return built(**one_part, **other_part)
