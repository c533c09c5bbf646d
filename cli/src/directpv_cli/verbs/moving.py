"""``move`` and ``evacuate``: volumes go to other drives of their node, with their data."""

from directpv_cli.reading.words import WEEK
from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import (
    CancelMoves,
    DriveAddress,
    DryRun,
    MoveTimeout,
    MoveWords,
    OnlyVolumes,
    Output,
    RateLimit,
    Wait,
    WithData,
)


def move(
    words: MoveWords = None,
    with_data: WithData = False,
    volumes: OnlyVolumes = None,
    limit: RateLimit = None,
    cancel: CancelMoves = False,
    dry_run: DryRun = False,
    wait: Wait = True,
    timeout: MoveTimeout = WEEK,
    output: Output = "",
) -> None:
    """Move the volumes of drive FROM to drive TO of the same node with their data, while pods go on writing.

    Data is copied in passes and compared; the last pass needs the volume for itself and begins when its pod ends:
    restart the pod then, and it starts on the other drive. Until that moment the volume is where it was, and --cancel
    VOLUME... takes the move back. Safe to repeat, which goes on with it; without arguments, what is under way is shown.
    """
    from directpv_cli.commands.changing import move as command
    from directpv_cli.reading.words import drive_words

    flags = command.Flags(
        limit=limit or 0, volumes=tuple(volumes or ()), dry_run=dry_run, within=timeout if wait else 0.0, output=output
    )
    given = tuple(words or ())
    if cancel:
        said = {"with_data": with_data, "limit": limit is not None, "volume": volumes, "dry_run": dry_run}
        checked(lambda: command.require_cancel_alone(given, **said))
        command.cancel(given, flags)
    elif not given:
        checked(lambda: command.require_words(data=with_data, limit=limit is not None, volumes=volumes, dry=dry_run))
        command.show(flags)
    else:
        source, target = checked(lambda: command.two(drive_words(given)))
        command.require_data(with_data=with_data)
        command.move(source, target, flags)


def evacuate(
    drive: DriveAddress,
    volumes: OnlyVolumes = None,
    limit: RateLimit = None,
    dry_run: DryRun = False,
    wait: Wait = True,
    timeout: MoveTimeout = WEEK,
    output: Output = "",
) -> None:
    """Move each volume of a drive, with its data, to the drive of its node that suits it best, and cordon the drive.

    As move, but the controller chooses: drives that suit the volume's class, the one with most space. Where no volume
    can be moved, or one is being moved to this very drive, nothing is changed, and the drive is not cordoned. Safe to
    repeat.
    """
    from directpv_cli.commands.changing import move as command
    from directpv_cli.reading.words import drive_words

    (source,) = checked(lambda: drive_words((drive,)))
    flags = command.Flags(
        limit=limit or 0, volumes=tuple(volumes or ()), dry_run=dry_run, within=timeout if wait else 0.0, output=output
    )
    command.evacuate(source, flags)
