"""Processes do not carry what they do not use."""

import subprocess
import sys


def test_the_bus_is_imported_without_aiohttp_and_leaves_it_to_those_who_need_it() -> None:
    script = (
        "import sys, directpv_common.bus.bus, directpv_common.bus.service, directpv_common.bus.events\n"
        "print('aiohttp' in sys.modules)\n"
        "import aiohttp\n"
        "print(aiohttp.ClientSession.__name__)"
    )
    done = subprocess.run((sys.executable, "-c", script), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "ClientSession"]
