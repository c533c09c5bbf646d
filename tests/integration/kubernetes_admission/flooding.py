"""A program that floods a hub as the server of a node: port, authority, seed, node, subject."""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from directpv_common.access.nkey import read_seed
from integration.kubernetes_admission.raw_leaf import raw_leaf


async def main() -> None:
    port, authority, seed, node, subject = sys.argv[1:]
    hub: Any = SimpleNamespace(port=int(port), authority=authority)
    async with raw_leaf(hub, read_seed(Path(seed)), node) as leaf:
        print(json.dumps({"said": await leaf.flood(subject)}))


asyncio.run(main())
