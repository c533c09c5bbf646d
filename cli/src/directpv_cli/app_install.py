"""``install`` and ``uninstall`` and their flags."""

from typing import Annotated

import typer

from directpv_cli.flags import Kubeconfig, Quiet
from directpv_cli.reading.settings import settings


def install(
    node_selector: Annotated[
        list[str] | None, typer.Option("--node-selector", help="Only nodes with this label have drives: KEY=VALUE.")
    ] = None,
    tolerations: Annotated[
        list[str] | None, typer.Option("--tolerations", help="Taint that the pods tolerate: KEY[=VALUE]:EFFECT.")
    ] = None,
    registry: Annotated[str, typer.Option("--registry", help="Registry of all images [quay.io].")] = "",
    org: Annotated[str, typer.Option("--org", help="Organisation of all images [minio].")] = "",
    image: Annotated[str, typer.Option("--image", help="Name and tag of our image.")] = "",
    sidecar_image: Annotated[
        list[str] | None,
        typer.Option("--sidecar-image", help="Whole image of a sidecar, with its tag or digest: NAME=IMAGE."),
    ] = None,
    image_pull_secrets: Annotated[
        list[str] | None, typer.Option("--image-pull-secrets", help="Secrets to pull images with.")
    ] = None,
    apparmor_profile: Annotated[str, typer.Option("--apparmor-profile", help="AppArmor profile of node pods.")] = "",
    seccomp_profile: Annotated[str, typer.Option("--seccomp-profile", help="Seccomp profile of the node agent.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json: print objects, use no cluster.")] = "",
    kube_version: Annotated[
        str, typer.Option("--kube-version", help="Version of Kubernetes to print objects for [newest supported].")
    ] = "",
    openshift: Annotated[
        bool, typer.Option("--openshift", help="Red Hat's sidecars, and bindings to its SCCs.")
    ] = False,
    nats_url: Annotated[
        str, typer.Option("--nats-url", help="Use this NATS server, which asks for no password: guard it.")
    ] = "",
    nats_leaf_url: Annotated[
        str,
        typer.Option(
            "--nats-leaf-url",
            help="Where that NATS takes leaf nodes; without it, nodes cannot mount volumes while it is away.",
        ),
    ] = "",
    nats_replicas: Annotated[
        int | None,
        typer.Option("--nats-replicas", help="NATS servers: 3 or 1 [3; 1 on one node; never fewer than now]."),
    ] = None,
    controller_replicas: Annotated[
        int | None, typer.Option("--controller-replicas", help="Controllers [3; 1 on one node; never fewer than now].")
    ] = None,
    on_predicted_failure: Annotated[
        str,
        typer.Option("--on-predicted-failure", help="report; or cordon: drives that expect to fail take no volumes."),
    ] = "report",
    init_requests: Annotated[
        str,
        typer.Option("--init-requests", help="off: nobody formats devices by DirectPVInitRequest objects."),
    ] = "on",
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait until everything runs.", min=0)] = 0.0,
    kubeconfig: Kubeconfig = "",
    quiet: Quiet = False,
) -> None:
    """Install into a Kubernetes cluster, over an earlier installation or upstream's to upgrade it.

    Kubelet's folder is taken from KUBELET_DIR_PATH. Running pods and their volumes are not disturbed. The exit status
    is 0 only if every object is in place (with --wait: and every pod runs).
    """
    from directpv_cli.commands import install as command

    settings.quiet = settings.quiet or quiet
    flags = command.Flags(
        node_selector=node_selector or (),
        tolerations=tolerations or (),
        registry=registry,
        org=org,
        image=image,
        sidecar_images=sidecar_image or (),
        image_pull_secrets=image_pull_secrets or (),
        apparmor_profile=apparmor_profile,
        seccomp_profile=seccomp_profile,
        kube_version=kube_version or str(command.NEWEST),
        openshift=openshift,
        kubelet_dir=command.kubelet_dir(),
        nats_url=nats_url,
        nats_leaf_url=nats_leaf_url,
        nats_replicas=3 if nats_replicas is None else nats_replicas,
        controller_replicas=3 if controller_replicas is None else controller_replicas,
        subject_prefix=settings.prefix,
        on_predicted_failure=on_predicted_failure,
        init_requests=init_requests,
    )
    asked = {
        "--kube-version": kube_version,
        "--nats-replicas": nats_replicas,
        "--controller-replicas": controller_replicas,
    }
    chosen = frozenset(name for name, value in asked.items() if value)
    command.install(
        flags, command.How(output=output, kubeconfig=kubeconfig or settings.kubeconfig, wait=wait, chosen=chosen)
    )


def uninstall(
    dangerous: Annotated[
        bool, typer.Option("--dangerous", help="Delete the records of all drives and volumes, too.", hidden=True)
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait until all is gone.", min=1)] = 120.0,
    kubeconfig: Kubeconfig = "",
    quiet: Quiet = False,
) -> None:
    """Remove the installation; drives, volumes and their records stay, and running pods keep their mounts."""
    from directpv_cli.commands import install as command

    settings.quiet = settings.quiet or quiet
    command.uninstall(dangerous=dangerous, kubeconfig=kubeconfig or settings.kubeconfig, within=timeout)
