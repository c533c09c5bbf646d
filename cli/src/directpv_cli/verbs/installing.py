"""``install`` and ``uninstall``."""

from directpv_cli.reading.settings import settings
from directpv_cli.reading.words import AT_ONCE, TWO_MINUTES
from directpv_cli.verbs import install_flags as f
from directpv_cli.verbs.flags import Kubeconfig, Quiet


def install(
    node_selector: f.NodeSelector = None,
    control_node_selector: f.ControlNodeSelector = None,
    tolerations: f.Tolerations = None,
    registry: f.Registry = "",
    org: f.Org = "",
    image: f.Image = "",
    sidecar_image: f.SidecarImage = None,
    image_pull_secrets: f.PullSecrets = None,
    apparmor_profile: f.AppArmor = "",
    seccomp_profile: f.Seccomp = "",
    output: f.Printed = "",
    kube_version: f.Version = "",
    openshift: f.OpenShift = False,
    nats_url: f.OwnNats = "",
    nats_leaf_url: f.OwnNatsLeaf = "",
    nats_replicas: f.NatsReplicas = None,
    controller_replicas: f.ControllerReplicas = None,
    on_predicted_failure: f.OnPredictedFailure = "report",
    init_requests: f.InitRequests = "on",
    otlp_endpoint: f.OtlpEndpoint = "",
    wait: f.UntilRunning = AT_ONCE,
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
        control_node_selector=control_node_selector or (),
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
        otlp_endpoint=otlp_endpoint,
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
    dangerous: f.DropRecords = False,
    timeout: f.UntilGone = TWO_MINUTES,
    kubeconfig: Kubeconfig = "",
    quiet: Quiet = False,
) -> None:
    """Remove the installation; drives, volumes and their records stay, and running pods keep their mounts."""
    from directpv_cli.commands import install as command

    settings.quiet = settings.quiet or quiet
    command.uninstall(dangerous=dangerous, kubeconfig=kubeconfig or settings.kubeconfig, within=timeout)
