"""A drive with one volume in use by a claim, exactly as upstream v4.1.6 leaves them: on the disk and in the API.

Source: facts of upstream v4.1.6: mkfs options, layout, quota, custom resources; external-provisioner's volumes.
"""

from dataclasses import dataclass
from typing import Final

from directpv_common.protocol.names import project_id
from support.kube.node import KubeNode
from support.kube.on_disk import MOUNTS
from support.kube.workloads import CLASS, DRIVER, KEY, Object

CONTENT: Final = "written under upstream"


@dataclass(frozen=True)
class Geometry:
    """Bytes of a file system right after mkfs, of which upstream's books are made."""

    total: int
    free: int


@dataclass(frozen=True)
class UpstreamDrive:
    """A drive on a device of a node, and its one volume."""

    node: KubeNode
    device: str
    fsuuid: str
    volume: str
    size: int

    @property
    def place(self) -> str:
        """Where it is mounted."""
        return f"{MOUNTS}/{self.fsuuid}"

    @property
    def topology(self) -> dict[str, str]:
        """The five keys; rack, zone and region are never set by upstream's installer."""
        fixed = {f"{KEY}/{key}": "default" for key in ("rack", "zone", "region")}
        return {**fixed, f"{KEY}/identity": DRIVER, f"{KEY}/node": self.node.name}

    async def lay_out(self) -> Geometry:
        """Format the device, mount it and make the volume, with a file in it; return how large the drive is.

        The programs of upstream's image are of a time before bigtime and inobtcount.
        """
        project, directory = project_id(self.volume), f"{self.place}/{self.volume}"
        said = await self.node.hand.sh(
            f"""
            mkfs.xfs -q -i maxpct=50 -m uuid={self.fsuuid},bigtime=0,inobtcount=0 -L DIRECTPV /dev/{self.device}
            xfs_db -r -c 'sb 0' -c 'print blocksize dblocks fdblocks' /dev/{self.device}
            mkdir -p {self.place}
            mount -t xfs -o noatime,prjquota /dev/{self.device} {self.place}
            ln -s . {self.place}/.FSUUID.{self.fsuuid}
            mkdir -m 0750 {self.place}/.directpv
            printf 'APP_NAME=directpv\\nAPP_VERSION=v1beta1\\nFSUUID={self.fsuuid}\\n' \\
                > {self.place}/.directpv/meta.info
            chmod 0640 {self.place}/.directpv/meta.info
            mkdir -m 0755 {directory}
            xfs_quota -x -c 'project -s -p {directory} {project}' \
                -c 'limit -p bsoft={self.size} bhard={self.size} {project}' {self.place} >&2
            echo '{CONTENT}' > {directory}/file
            sync
            """
        )
        found = {key.strip(): int(value) for key, _, value in (line.partition("=") for line in said.splitlines())}
        return Geometry(found["dblocks"] * found["blocksize"], found["fdblocks"] * found["blocksize"])

    async def strip(self) -> None:
        """Take away what we have written on the drive beside upstream's; mounts and data stay."""
        meta = f"{self.place}/.directpv"
        await self.node.hand.sh(
            f"rm -r {meta}/drive.json {meta}/volumes; rm -f {meta}/.proof; sync -f {meta}; ls -A {meta}"
        )

    # ---- objects ------------------------------------------------------------------------------------------------

    def drive_object(self, geometry: Geometry) -> Object:
        """Return the DirectPVDrive: overhead of the file system is counted neither as free nor as allocated."""
        return {
            "apiVersion": f"{KEY}/v1beta1",
            "kind": "DirectPVDrive",
            "metadata": {
                "name": self.fsuuid,
                "finalizers": [f"{KEY}/data-protection", f"{KEY}.volume/{self.volume}"],
                "labels": {
                    f"{KEY}/access-tier": "Default",
                    f"{KEY}/created-by": "directpv-driver",
                    f"{KEY}/drive-name": self.device,
                    f"{KEY}/node": self.node.name,
                    f"{KEY}/version": "v1beta1",
                },
            },
            "spec": {},
            "status": {
                "allocatedCapacity": self.size,
                "freeCapacity": geometry.free - self.size,
                "fsuuid": self.fsuuid,
                "status": "Ready",
                "topology": self.topology,
                "totalCapacity": geometry.total,
            },
        }

    def volume_object(self, pod: str, namespace: str, *, staging: str = "", target: str = "") -> Object:
        """Return the DirectPVVolume; without paths where it is mounted the pod is gone, of which labels stay."""
        return {
            "apiVersion": f"{KEY}/v1beta1",
            "kind": "DirectPVVolume",
            "metadata": {
                "name": self.volume,
                "finalizers": [f"{KEY}/pv-protection", f"{KEY}/purge-protection"],
                "labels": {
                    f"{KEY}/created-by": "directpv-controller",
                    f"{KEY}/drive": self.fsuuid,
                    f"{KEY}/drive-name": self.device,
                    f"{KEY}/node": self.node.name,
                    f"{KEY}/pod.name": pod,
                    f"{KEY}/pod.namespace": namespace,
                    f"{KEY}/tenant": "first",
                    f"{KEY}/version": "v1beta1",
                },
            },
            "status": {
                "availableCapacity": self.size,
                "conditions": [],
                "dataPath": f"{self.place}/.FSUUID.{self.fsuuid}/{self.volume}",
                "fsuuid": self.fsuuid,
                "stagingTargetPath": staging,
                "status": "Ready",
                "targetPath": target,
                "totalCapacity": self.size,
                "usedCapacity": 0,
            },
        }

    def persistent_volume(self, claim: Object) -> Object:
        """Return the PersistentVolume that external-provisioner made for ``claim``, which Kubernetes binds to it."""
        meta, spec = claim["metadata"], claim["spec"]
        reference = {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion")}
        terms = [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(self.topology.items())]
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": self.volume,
                "annotations": {
                    "pv.kubernetes.io/provisioned-by": DRIVER,
                    "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                    "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
                },
                "finalizers": [
                    "external-provisioner.volume.kubernetes.io/finalizer",
                    "kubernetes.io/pv-protection",
                ],
            },
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": spec["resources"]["requests"],
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **reference},
                "csi": {
                    "driver": DRIVER,
                    "fsType": "xfs",
                    "volumeAttributes": {"storage.kubernetes.io/csiProvisionerIdentity": f"1711111111111-7-{DRIVER}"},
                    "volumeHandle": self.volume,
                },
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": terms}]}},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": CLASS,
                "volumeMode": "Filesystem",
            },
        }
