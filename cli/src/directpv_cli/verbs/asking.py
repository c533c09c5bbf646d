"""``status``, ``describe``, ``explain`` and ``top``: how it is, and why."""

from directpv_cli.verbs.flags import (
    ClaimName,
    DeviceAddress,
    DriveAddress,
    Namespace,
    NodeName,
    Output,
    Rounds,
    VolumeName,
)


def status(output: Output = "") -> None:
    """Say on one screen whether all is well; the exit status is 0 only then."""
    from directpv_cli.commands.looking import status as command

    command.status(output)


def describe_drive(drive: DriveAddress, output: Output = "") -> None:
    """Show all that is known of a drive, its volumes, and what happened to it."""
    from directpv_cli.commands.looking import describe
    from directpv_cli.reading.words import drive_words
    from directpv_cli.showing.terminal.lines import checked

    describe.drive(checked(lambda: drive_words([drive]))[0], output)


def describe_volume(volume: VolumeName, output: Output = "") -> None:
    """Show all that is known of a volume, and what happened to it."""
    from directpv_cli.commands.looking import describe

    describe.volume(volume, output)


def describe_node(node: NodeName, output: Output = "") -> None:
    """Show all that is known of a node and its drives."""
    from directpv_cli.commands.looking import describe

    describe.node(node, output)


def explain_drive(drive: DriveAddress) -> None:
    """Say why a drive takes no volumes, or is not well, and what would help."""
    from directpv_cli.commands.looking import explain
    from directpv_cli.reading.words import drive_words
    from directpv_cli.showing.terminal.lines import checked

    explain.drive(checked(lambda: drive_words([drive]))[0])


def explain_volume(volume: VolumeName) -> None:
    """Say why a volume is not well, or was not placed, and what would help."""
    from directpv_cli.commands.looking import explain

    explain.volume(volume)


def explain_device(device: DeviceAddress) -> None:
    """Say why a device may not become a drive, and what would help."""
    from directpv_cli.commands.looking import explain

    explain.device(device)


def explain_pvc(claim: ClaimName, namespace: Namespace = "") -> None:
    """Say why a claim is pending: per drive what keeps it from taking its volume, and the smallest change."""
    from directpv_cli.commands.looking import explain

    explain.pvc(claim, namespace)


def top_drives(rounds: Rounds = 0) -> None:
    """Show how busy drives are, live."""
    from directpv_cli.commands.looking import top

    top.drives(rounds)


def top_volumes(rounds: Rounds = 0) -> None:
    """Show how full volumes are, live."""
    from directpv_cli.commands.looking import top

    top.volumes(rounds)
