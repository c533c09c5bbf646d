"""Registry and election on one API server, opened together for one try at leadership."""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from directpv_common import crd
from directpv_common.process.lifecycle import background
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest, Unavailable
from directpv_controller.leading.port import RegistryLost
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.kubernetes.apiserver.access import access_of
from directpv_controller.registry.kubernetes.apiserver.client import CALL_SECONDS, Client, Observe, Resource, connect
from directpv_controller.registry.kubernetes.apiserver.errors import Missing, Refused
from directpv_controller.registry.kubernetes.editing.edits import Edits
from directpv_controller.registry.kubernetes.editing.requests import Requests
from directpv_controller.registry.kubernetes.election import KubernetesElection
from directpv_controller.registry.kubernetes.keeping.registry import KubernetesRegistry
from directpv_controller.registry.kubernetes.keys import key_forgetter
from directpv_controller.registry.kubernetes.pods import pod_reader, pv_reader
from directpv_controller.registry.kubernetes.recorder import Recorder
from directpv_controller.registry.kubernetes.retired import GivenUp
from directpv_controller.registry.port import Format

DEFINITIONS: Final = Resource("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "definitions")

DEFINITION: Final = f"{crd.DRIVES.plural}.{names.GROUP}"


@dataclass(frozen=True)
class KubernetesOptions:
    """What the store needs to know."""

    holder: str
    """Identifies this process in the lease."""
    ttl: float
    """Length of a lease in seconds."""
    namespace: str
    """Of the lease."""
    kubeconfig: str = ""
    """Empty: the pod's service account."""
    init_requests: bool = True
    """Whether DirectPVInitRequests are answered."""

    def __post_init__(self) -> None:
        if self.ttl != int(self.ttl):
            raise InvalidRequest(
                f"lease-seconds is {self.ttl:g}, but a Lease of Kubernetes lasts whole seconds", field="lease-seconds"
            )


class KubernetesStore:
    """See :class:`~directpv_controller.registry.port.Store`."""

    def __init__(
        self,
        registry: KubernetesRegistry,
        election: KubernetesElection,
        *,
        holder: str,
        namespace: str,
        init_requests: bool,
    ) -> None:
        self.registry: Any = registry
        self.election: Any = election
        self.read_pod = pod_reader(registry.client)
        self.read_pv = pv_reader(registry.client)
        self.forget_key = key_forgetter(registry.client, namespace)
        self._holder, self._init_requests = holder, init_requests

    @contextlib.asynccontextmanager
    async def attending(self, term: Term, nodes: Nodes, init_devices: Format) -> AsyncIterator[None]:
        """Take in what others do, and answer upstream's plugin, while the block runs."""
        registry: KubernetesRegistry = self.registry
        recorder = Recorder(registry.client, self._holder)
        edits = Edits(registry, term, nodes)
        requests = Requests(registry.client, term, init_devices, init_requests=self._init_requests)
        with term.events.heard_by(recorder.note):
            async with background(recorder.run()), edits.listening(), requests.answering():
                registry.make_good()
                yield


@contextlib.asynccontextmanager
async def open_store(
    options: KubernetesOptions,
    *,
    observe: Callable[[int, float], None],
    observe_call: Observe,
    count_conflict: Callable[[str], None],
) -> AsyncIterator[KubernetesStore]:
    """Connect while the block runs.

    Args:
        options: Settings.
        observe: Gets size and seconds of each group of writes.
        observe_call: Gets verb, resource and outcome of each request.
        count_conflict: Gets the resource of each write that somebody else's was ahead of.

    Raises:
        Unavailable: The API server does not answer, or lacks our definitions.
        InvalidRequest: The kubeconfig cannot be understood, or there is no service account.
    """
    access = access_of(options.kubeconfig)
    # The lease has a connection of its own: no burst of other writes may delay its renewal.
    async with connect(access, observe_call) as client, connect(access, observe_call) as aside:
        registry_id = await _registry_id(client)
        confirm = functools.partial(_confirm, aside, registry_id)
        election = KubernetesElection(aside, options.namespace, options.holder, options.ttl, confirm)
        retired = GivenUp(client, options.namespace)
        registry = KubernetesRegistry(client, election, retired, registry_id, observe, count_conflict)
        try:
            yield KubernetesStore(
                registry,
                election,
                holder=options.holder,
                namespace=options.namespace,
                init_requests=options.init_requests,
            )
        finally:
            await registry.close()


async def _registry_id(client: Client) -> str:
    """Return what identifies the registry: the definition of drives, with which all objects come and go."""
    try:
        return await _defined(client, CALL_SECONDS)
    except Missing as error:
        raise Unavailable(f"{DEFINITION} is not defined here; run kubectl directpv install") from error
    except Refused as error:  # rights may still be on their way
        raise Unavailable(error.message) from error


async def _confirm(client: Client, registry_id: str, within: float) -> None:
    """Make sure that the registry is still ``registry_id``.

    Raises:
        RegistryLost: It is not, or cannot be seen any more.
        Unavailable: No answer.
    """
    try:
        found = await _defined(client, within)
    except (Missing, Refused) as error:
        raise RegistryLost(error.message) from error
    if found != registry_id:
        raise RegistryLost(f"{DEFINITION} was made anew")


async def _defined(client: Client, within: float) -> str:
    return str((await client.get(DEFINITIONS, DEFINITION, within=within))["metadata"]["uid"])
