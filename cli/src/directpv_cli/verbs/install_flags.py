"""Every flag of ``install`` and ``uninstall``, once; names are upstream's."""

from typing import Annotated

import typer

from directpv_cli.verbs.flags import waiting

# ---- which images, and where ----------------------------------------------------------------------------------

NodeSelector = Annotated[
    list[str] | None, typer.Option("--node-selector", help="Only nodes with this label have drives: KEY=VALUE.")
]
ControlNodeSelector = Annotated[
    list[str] | None,
    typer.Option("--control-node-selector", help="Only nodes with this label run controllers and NATS: KEY=VALUE."),
]
Tolerations = Annotated[
    list[str] | None, typer.Option("--tolerations", help="Taint that the pods tolerate: KEY[=VALUE]:EFFECT.")
]
Registry = Annotated[str, typer.Option("--registry", help="Registry of all images [quay.io].")]
Org = Annotated[str, typer.Option("--org", help="Organisation of all images [minio].")]
Image = Annotated[str, typer.Option("--image", help="Name and tag of our image.")]
SidecarImage = Annotated[
    list[str] | None,
    typer.Option("--sidecar-image", help="Whole image of a sidecar, with its tag or digest: NAME=IMAGE."),
]
PullSecrets = Annotated[list[str] | None, typer.Option("--image-pull-secrets", help="Secrets to pull images with.")]

# ---- what the cluster is like ---------------------------------------------------------------------------------

AppArmor = Annotated[str, typer.Option("--apparmor-profile", help="AppArmor profile of node pods.")]
Seccomp = Annotated[str, typer.Option("--seccomp-profile", help="Seccomp profile of the node agent.")]
Version = Annotated[
    str, typer.Option("--kube-version", help="Version of Kubernetes to print objects for [newest supported].")
]
OpenShift = Annotated[bool, typer.Option("--openshift", help="Red Hat's sidecars, and bindings to its SCCs.")]

# ---- the bus and the controllers ------------------------------------------------------------------------------

OwnNats = Annotated[str, typer.Option("--nats-url", help="Use this NATS server, which asks for no password: guard it.")]
OwnNatsLeaf = Annotated[
    str,
    typer.Option(
        "--nats-leaf-url",
        help="Where that NATS takes leaf nodes; without it, nodes cannot mount volumes while it is away.",
    ),
]
NatsReplicas = Annotated[
    int | None,
    typer.Option("--nats-replicas", help="NATS servers: 3 or 1 [3; 1 on one node; never fewer than now]."),
]
ControllerReplicas = Annotated[
    int | None, typer.Option("--controller-replicas", help="Controllers [3; 1 on one node; never fewer than now].")
]
OnPredictedFailure = Annotated[
    str,
    typer.Option("--on-predicted-failure", help="report; or cordon: drives that expect to fail take no volumes."),
]
InitRequests = Annotated[
    str, typer.Option("--init-requests", help="off: nobody formats devices by DirectPVInitRequest objects.")
]

OtlpEndpoint = Annotated[
    str, typer.Option("--otlp-endpoint", help="OpenTelemetry collector that takes traces over HTTP [none].")
]

# ---- how it is done -------------------------------------------------------------------------------------------

Printed = Annotated[str, typer.Option("--output", "-o", help="yaml or json: print objects, use no cluster.")]
UntilRunning = Annotated[float, waiting("--wait", "How long to wait until everything runs; 0: not at all.", least=0)]
DropRecords = Annotated[
    bool, typer.Option("--dangerous", help="Delete the records of all drives and volumes, too.", hidden=True)
]
UntilGone = Annotated[float, waiting("--timeout", "How long to wait until all is gone.")]
