"""``discover`` and ``init``: how devices become drives."""

from pathlib import Path

from directpv_cli.reading.words import QUARTER_HOUR, TWO_MINUTES
from directpv_cli.verbs.flags import (
    AllDevices,
    Drives,
    DrivesFile,
    EraseDevices,
    Nodes,
    NodesTimeout,
    Output,
    OutputFile,
)


def discover(
    nodes: Nodes = None,
    drives: Drives = None,
    all_devices: AllDevices = False,
    output_file: OutputFile = Path("drives.yaml"),
    output: Output = "",
    timeout: NodesTimeout = TWO_MINUTES,
) -> None:
    """Find devices that can become drives, and write them to drives.yaml."""
    from directpv_cli.commands.changing import discover as command

    command.discover(nodes, drives, all_devices=all_devices, file=output_file, output=output, timeout=timeout)


def init(
    file: DrivesFile, dangerous: EraseDevices = False, output: Output = "", timeout: NodesTimeout = QUARTER_HOUR
) -> None:
    """Format the selected devices of drives.yaml and make them drives."""
    from directpv_cli.commands.changing import discover as command

    command.init(file, dangerous=dangerous, output=output, timeout=timeout)
