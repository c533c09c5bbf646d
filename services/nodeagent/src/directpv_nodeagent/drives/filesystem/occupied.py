"""Devices that no force formats: drives of DirectPV with volumes, whosever they are. One sentence for all who ask.

Shown by ``tests/integration/nodeagent/drives/changing``.
"""

from collections.abc import Callable, Sequence
from typing import Final

from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.signatures import looks_like_drive, xfs_uuid
from directpv_nodeagent.devices.probe import READ_SECONDS, Prober
from directpv_nodeagent.layout.core.places import describe_paths

_LOOK_SECONDS: Final = 3 * READ_SECONDS


async def why_kept(prober: Prober, facts: DeviceFacts, volumes_on: Callable[[DeviceFacts], Sequence[str]]) -> str:
    """Return why the device is not formatted, with what to do; empty if it is no drive that holds volumes.

    Args:
        prober: Whose threads look.
        facts: The device, which nobody has mounted.
        volumes_on: Returns the volumes on a device that looks like a drive; blocking.

    Raises:
        DirectPVError: The device does not answer in time.
    """
    if not looks_like_drive(facts):
        return ""
    try:
        names = await prober.executors.run(
            facts.name, lambda: volumes_on(facts), _LOOK_SECONDS, "looking for volumes on it"
        )
    except OSError as error:
        seen = f"and whether it holds volumes cannot be seen: {error.strerror or error}"
        return f"{facts.name} is a drive of DirectPV, {seen}; {_ways(prober, facts)}"
    if not names:
        return ""
    held = describe_paths(sorted(names))
    return f"{facts.name} is a drive of DirectPV that holds volumes ({held}); {_ways(prober, facts)}"


def _ways(prober: Prober, facts: DeviceFacts) -> str:
    wiped = f"if nobody needs them, wipe it by hand: wipefs --all {prober.path_of(facts)}"
    return f"to have it back with them: kubectl directpv recover {xfs_uuid(facts)}; {wiped}"
