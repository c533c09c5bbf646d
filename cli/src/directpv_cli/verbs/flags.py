"""Every flag of the plugin, once, but for those of ``install``; names are upstream's."""

from pathlib import Path
from typing import Annotated, Final, cast

import typer
from typer.models import OptionInfo

from directpv_cli.reading.words import duration
from directpv_common import __version__
from directpv_common.protocol.units import KIB, format_bytes, parse_bytes

MOST: Final = 2**63 - 1
"""Bytes that a message can speak of."""


def show_version(wanted: bool) -> None:
    """Print what was asked for, and end."""
    if wanted:
        typer.echo(f"kubectl-directpv version {__version__}")
        raise typer.Exit


def waiting(flag: str, help_text: str, least: float = 1.0) -> OptionInfo:
    """Return a flag that takes a duration, as Go writes it or in seconds, of at least so many seconds."""

    def read(text: object) -> float:
        try:
            seconds = duration(str(text))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if seconds < least:
            raise typer.BadParameter(f"{text} is less than {least:g} s")
        return seconds

    return cast(OptionInfo, typer.Option(flag, help=help_text, parser=read, metavar="DURATION"))


def sized(flag: str, help_text: str) -> OptionInfo:
    """Return a flag that takes a number of bytes, as people write them, of at least 1 KiB."""

    def read(text: object) -> int:
        try:
            size = parse_bytes(str(text))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if 0 < size < KIB or (size == 0 and text not in (0, "0")):
            raise typer.BadParameter(f"{text} is less than 1 KiB")
        if size > MOST:
            raise typer.BadParameter(f"{text} is more than {format_bytes(MOST)}, which no drive has")
        return size

    return cast(OptionInfo, typer.Option(flag, help=help_text, parser=read, metavar="SIZE", show_default=False))


# ---- of every verb --------------------------------------------------------------------------------------------

NatsUrl = Annotated[
    str,
    typer.Option(
        "--nats-url",
        envvar="DIRECTPV_NATS_URL",
        help="NATS server of the installation [that of the local stack in DIRECTPV_STATE_DIR; or through kubectl if "
        "there is a kubeconfig; or that of the local stack].",
    ),
]
NatsNkey = Annotated[
    str,
    typer.Option(
        "--nats-nkey",
        envvar="DIRECTPV_NATS_NKEY",
        help="File with the seed of the key by which that server knows you [the local stack's, if it is there].",
    ),
]
Kubeconfig = Annotated[
    str, typer.Option("--kubeconfig", help="Path of the kubeconfig file of the cluster [as kubectl].")
]
Context = Annotated[str, typer.Option("--context", help="Context of the kubeconfig [its current one].")]
Prefix = Annotated[
    str, typer.Option("--subject-prefix", envvar="DIRECTPV_PREFIX", help="Subject prefix of the installation.")
]
Version = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=show_version)
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No messages, no progress.")]
Plain = Annotated[bool, typer.Option("--plain", help="Tables without frames and colours, as on pipes.")]

# ---- which drives and volumes ---------------------------------------------------------------------------------

DriveIds = Annotated[list[str] | None, typer.Argument(metavar="[DRIVE]...", help="Drive ids.")]
DriveIdsNeeded = Annotated[list[str] | None, typer.Argument(metavar="DRIVE", help="Drive ids.")]
VolumeNames = Annotated[list[str] | None, typer.Argument(metavar="[VOLUME]...", help="Volume names.")]
Ids = Annotated[list[str] | None, typer.Option("--ids", help="Only these drives.")]
VolumeIds = Annotated[list[str] | None, typer.Option("--ids", help="Only these volumes.")]
OnDrives = Annotated[list[str] | None, typer.Option("--drive-id", help="Only volumes on these drives.")]
Nodes = Annotated[list[str] | None, typer.Option("--nodes", "-n", help="Only these nodes; ranges such as n{1...4}.")]
Drives = Annotated[
    list[str] | None, typer.Option("--drives", "-d", help="Only these devices; ranges such as sd{a...f}.")
]
Statuses = Annotated[list[str] | None, typer.Option("--status", help="Only objects in this state.")]
Labels = Annotated[
    list[str] | None, typer.Option("--labels", "--selector", "-l", help="Only objects with these labels, KEY=VALUE,...")
]
PodNames = Annotated[list[str] | None, typer.Option("--pod-names", help="Only volumes of these pods.")]
PodNamespaces = Annotated[list[str] | None, typer.Option("--pod-namespaces", help="Only in these namespaces.")]
All = Annotated[
    bool, typer.Option("--all", help="In every state; of all objects, or of those that other selectors name.")
]

DriveAddress = Annotated[str, typer.Argument(metavar="DRIVE", help="Id, its first letters, or NODE/DEVICE.")]
VolumeName = Annotated[str, typer.Argument(metavar="VOLUME", help="Name of the volume.")]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.")]
DeviceAddress = Annotated[str, typer.Argument(metavar="NODE/DEVICE", help="For instance node-1/sda.")]
ClaimName = Annotated[str, typer.Argument(metavar="[NAMESPACE/]PVC", help="Name of the claim.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Of the claim [the context's].")]

# ---- what is shown --------------------------------------------------------------------------------------------

Output = Annotated[str, typer.Option("--output", "-o", help="json, yaml or jsonpath=TEMPLATE.")]
ListOutput = Annotated[str, typer.Option("--output", "-o", help="wide, json, yaml, name or jsonpath=TEMPLATE.")]
SortBy = Annotated[str, typer.Option("--sort-by", help="Title of a column, or a path such as .status.freeCapacity.")]
WatchList = Annotated[bool, typer.Option("--watch", "-w", help="Then print what changes, until interrupted.")]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Leave out the header line.")]
ShowLabels = Annotated[bool, typer.Option("--show-labels", help="Add a column with labels.")]
ShowClaims = Annotated[bool, typer.Option("--pvc", help="Add a column with the claim.")]
AllDevices = Annotated[bool, typer.Option("--all", help="Also show devices that may not be initialised.")]
Rounds = Annotated[int, typer.Option("--rounds", min=0, help="End after so many samples; 0: when interrupted.")]
Since = Annotated[str, typer.Option("--since", help="Begin so long ago, for instance 30s, 15m, 2h, 7d.")]
AboutDrives = Annotated[
    list[str] | None,
    typer.Option("--drive", help="Only of this drive, or on it: id, its beginning, NODE/DEVICE."),
]
AboutVolumes = Annotated[list[str] | None, typer.Option("--volume", help="Only of this volume.")]
EventTypes = Annotated[
    list[str] | None, typer.Option("--type", help="Only of this type, for instance drive, drive.lost or 'volume.*'.")
]
Watch = Annotated[bool, typer.Option("--watch", "-w", "--follow", "-f", help="Go on with new events.")]

# ---- what is done ---------------------------------------------------------------------------------------------

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Retain = Annotated[bool, typer.Option("--retain", help="Keep objects of DirectCSI; nothing deletes them anyhow.")]
LabelDrives = Annotated[
    list[str],
    typer.Argument(metavar="KEY=VALUE|KEY-... [DRIVE]...", help="Labels to set, or to remove; and drives."),
]
LabelVolumes = Annotated[
    list[str],
    typer.Argument(metavar="KEY=VALUE|KEY-... [VOLUME]...", help="Labels to set, or to remove; and volumes."),
]
LightsOut = Annotated[bool, typer.Option("--off", help="Put the lights out.")]
IgnoreNotFound = Annotated[
    bool, typer.Option("--ignore-not-found", help="What is not there is no error, as with kubectl delete.")
]
OutputFile = Annotated[Path, typer.Option("--output-file", help="File to write.")]
DrivesFile = Annotated[Path, typer.Argument(metavar="DRIVES.YAML", help="What discover wrote and you edited.")]
EraseDevices = Annotated[bool, typer.Option("--dangerous", help="Yes, format these devices: all data on them is lost.")]
EmptyFolders = Annotated[
    bool, typer.Option("--dangerous", help="Yes, pods shall find empty directories for their data.")
]
DropLog = Annotated[
    bool,
    typer.Option(
        "--force", help="Throw a log away that cannot be replayed (xfs_repair -L): what was written last is lost."
    ),
]
NoPrefetch = Annotated[
    bool, typer.Option("--disable-prefetch", help="No prefetching (xfs_repair -P), should it get stuck.")
]
OnlyLook = Annotated[bool, typer.Option("--dry-run", help="Look for damage and repair nothing (xfs_repair -n).")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")]
Removed = Annotated[list[str] | None, typer.Argument(metavar="[DRIVE]...|node NAME", help="Drive ids, or a node.")]
WithVolumes = Annotated[bool, typer.Option("--lost", help="The drives are dead: they go with their volumes.")]
LoseData = Annotated[bool, typer.Option("--dangerous", help="Yes, the data of these volumes is given up for good.")]
WipeHow = Annotated[
    str, typer.Option("--wipe", help="none: data stays on the disk; zero or discard: all of the disk is wiped.")
]
RemovalTimeout = Annotated[float, waiting("--timeout", "How long to wait for nodes; what is recorded they do anyhow.")]
MoveWords = Annotated[
    list[str] | None, typer.Argument(metavar="FROM TO", help="Drives; with --cancel: names of volumes.")
]
WithData = Annotated[bool, typer.Option("--with-data", help="Copy the data; move does nothing else.")]
OnlyVolumes = Annotated[list[str] | None, typer.Option("--volume", help="Only this volume.")]
CancelMoves = Annotated[bool, typer.Option("--cancel", help="Take moves back: these volumes stay where they are.")]
RateLimit = Annotated[
    int | None,
    sized("--limit", "Copy so many bytes per second at most, for instance 50M; 0: no limit [as fast as it goes]."),
]
MoveTimeout = Annotated[float, waiting("--timeout", "How long to wait; the moves go on anyhow.")]
NodesTimeout = Annotated[float, waiting("--timeout", "How long to wait for all nodes.")]
RotationTimeout = Annotated[float, waiting("--timeout", "How long to wait for each of the pods that are replaced.")]
OutcomeTimeout = Annotated[float, waiting("--timeout", "How long to wait for the outcome; the repair itself goes on.")]
ContextPort = Annotated[
    int, typer.Option("--port", min=1, max=65535, help="Port of loopback that kubectl port-forward will listen on.")
]

# ---- recover --------------------------------------------------------------------------------------------------

Targets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NODE|DRIVE]...", help="Nodes; or drives by id, its first letters, or NODE/DEVICE. [all]"),
]
DiskIsOut = Annotated[
    bool,
    typer.Option("--dangerous", help="Yes, nodes that are not heard have the disks mounted no more: they were moved."),
]
ClaimsOfVolumes = Annotated[
    list[str] | None,
    typer.Option("--claim", help="VOLUME=NAMESPACE/NAME: the claim of a volume that does not remember it."),
]
ClassOfVolumes = Annotated[
    str, typer.Option("--storage-class", help="Class of volumes that do not remember it [by their parameters].")
]
RecoverTimeout = Annotated[
    float, waiting("--timeout", "How long to wait for drives to be taken in, and for claims to be bound.")
]
