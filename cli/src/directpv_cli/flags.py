"""Flags that several verbs have; names are upstream's."""

from typing import Annotated

import typer

Nodes = Annotated[list[str] | None, typer.Option("--nodes", "-n", help="Only these nodes; ranges such as n{1...4}.")]
Drives = Annotated[
    list[str] | None, typer.Option("--drives", "-d", help="Only these devices; ranges such as sd{a...f}.")
]
Statuses = Annotated[list[str] | None, typer.Option("--status", help="Only objects in this state.")]
Labels = Annotated[list[str] | None, typer.Option("--labels", help="Only objects with this label, KEY=VALUE.")]
Kubeconfig = Annotated[
    str, typer.Option("--kubeconfig", help="Path of the kubeconfig file of the cluster [as kubectl].")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No messages, no progress.")]
Output = Annotated[str, typer.Option("--output", "-o", help="wide, json or yaml.")]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Leave out the header line.")]
ShowLabels = Annotated[bool, typer.Option("--show-labels", help="Add a column with labels.")]
All = Annotated[bool, typer.Option("--all", help="All objects, whatever the other selectors say.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for all nodes.", min=1)]
PodNames = Annotated[list[str] | None, typer.Option("--pod-names", help="Only volumes of these pods.")]
PodNamespaces = Annotated[list[str] | None, typer.Option("--pod-namespaces", help="Only in these namespaces.")]
DriveIds = Annotated[list[str] | None, typer.Argument(metavar="[DRIVE]...", help="Drive ids.")]
VolumeNames = Annotated[list[str] | None, typer.Argument(metavar="[VOLUME]...", help="Volume names.")]
Dangerous = Annotated[bool, typer.Option("--dangerous", help="Yes, pods shall find empty directories for their data.")]
