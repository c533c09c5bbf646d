import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.kubernetes_admission.world import World
from support.kube.apiserver import ApiServer


@pytest.fixture
def world(apiserver: ApiServer, tmp_path: Path) -> Iterator[World]:
    with World(apiserver, f"t-{uuid.uuid4().hex[:8]}", tmp_path) as made:
        yield made
