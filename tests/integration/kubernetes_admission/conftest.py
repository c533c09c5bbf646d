import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.kubernetes_admission.world import World
from support.kube.apiserver import ApiServer
from support.kube.fixtures import apiserver  # noqa: F401 - a fixture


@pytest.fixture
def world(apiserver: ApiServer, tmp_path: Path) -> Iterator[World]:  # noqa: F811
    with World(apiserver, f"t-{uuid.uuid4().hex[:8]}", tmp_path) as made:
        yield made
