"""DirectPV in a test cluster, installed and used through the plugin as an administrator would."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import yaml

from support.kube.cluster import Cluster

NAMESPACE: Final = "directpv"
LEASE: Final = "directpv-controller"
INSTALL_SECONDS: Final = 420.0


class Driver:
    """The installation; made drives are found in the cluster's own records."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.home = cluster.directory / "home"
        self.home.mkdir(exist_ok=True)
        self._overheads: dict[str, int] = {}

    async def plugin(self, *arguments: str, within: float = 180.0, check: bool = True) -> Any:
        """Run ``kubectl directpv`` as the administrator; return what it came to, with standard output and error."""
        path = f"{self.cluster.api.programs}:{os.environ['PATH']}"
        environment = {**os.environ, "HOME": str(self.home), "KUBECONFIG": str(self.cluster.api.admin), "PATH": path}
        command = [sys.executable, "-m", "directpv_cli", *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, timeout=within, check=False
        )
        if check and done.returncode:
            raise AssertionError(
                f"kubectl directpv {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}\n"
                f"{self.cluster.summary()}"
            )
        return done

    async def install(self, *flags: str) -> None:
        """Install, or install over what is there, and wait until everything runs."""
        await self.plugin("install", f"--wait={INSTALL_SECONDS:.0f}", *flags, within=INSTALL_SECONDS + 120)

    async def uninstall(self, *flags: str) -> None:
        """Remove the installation."""
        await self.plugin("uninstall", *flags, within=300)

    async def make_drives(self, meant: set[tuple[str, str]]) -> None:
        """Make drives of these disks, each with its node's name, as discover offers them."""
        file = self.home / "drives.yaml"

        async def offered() -> Any:
            """A node that was installed just now may not have been heard yet."""
            await self.plugin("discover", f"--output-file={file}", check=False)
            found = yaml.safe_load(file.read_text()) if file.exists() else {"nodes": []}
            for node in found["nodes"]:
                node["drives"] = [each for each in node.get("drives", []) if (node["name"], each["name"]) in meant]
            names = {(node["name"], each["name"]) for node in found["nodes"] for each in node["drives"]}
            return found if names == meant else None

        found = await self.cluster.until(offered, f"offered as drives: {sorted(meant)}", 180)
        file.write_text(yaml.safe_dump(found))
        before = len(self.drives("Ready"))
        await self.plugin("init", str(file), "--dangerous", within=300)
        all_ready = before + len(meant)
        await self.cluster.eventually(lambda: len(self.drives("Ready")) == all_ready, f"{all_ready} drives are Ready")

    def drives(self, status: str = "") -> list[dict[str, Any]]:
        """Return the drives' objects, all or those in one state."""
        drives = self.cluster.api.objects("directpvdrives")
        return [each for each in drives if status in ("", each["status"]["status"])]

    def volumes(self) -> dict[str, dict[str, Any]]:
        """Return the volumes' objects by name."""
        return {each["metadata"]["name"]: each for each in self.cluster.api.objects("directpvvolumes")}

    def check_books(self) -> None:
        """Assert that drives and volumes agree: what design 5 says must always hold.

        Each volume is reserved on exactly the drive that it names; no drive gives more than it has. What a drive
        counts as allocated beside its volumes is what it was when it was first looked at: nothing is lost.
        """
        drives, volumes = {each["metadata"]["name"]: each for each in self.drives()}, self.volumes()
        prefix = "directpv.min.io.volume/"
        for name, drive in drives.items():
            status = drive["status"]
            held = {each.removeprefix(prefix) for each in drive["metadata"]["finalizers"] if each.startswith(prefix)}
            ours = {volume for volume, each in volumes.items() if each["status"]["fsuuid"] == name}
            assert held == ours, f"{name}: reserved {held ^ ours} only on one side"
            promised = sum(volumes[each]["status"]["totalCapacity"] for each in held)
            assert status["freeCapacity"] >= 0, f"{name} has given more than it has"
            assert status["allocatedCapacity"] + status["freeCapacity"] == status["totalCapacity"], name
            overhead = status["allocatedCapacity"] - promised
            assert overhead > 0, f"{name} has promised more than it counts"
            assert overhead == self._overheads.setdefault(name, overhead), f"{name} lost or gained space"
        assert {each["status"]["fsuuid"] for each in volumes.values()} <= drives.keys()

    def recount(self, drive: str) -> None:
        """Take what a drive counts beside its volumes as it is now: it was adopted anew."""
        self._overheads.pop(drive, None)

    async def controller_leader(self) -> str:
        """Return the name of the pod that leads."""

        def look() -> str:
            leases = self.cluster.api.objects("leases", "-n", NAMESPACE, "--field-selector=metadata.name=" + LEASE)
            holder = next((each["spec"].get("holderIdentity") or "" for each in leases), "")
            pods = {each["metadata"]["name"] for each in self.cluster.api.objects("pods", "-n", NAMESPACE)}
            return next((pod for pod in pods if holder.startswith(f"{pod}-")), "")

        found: str = await self.cluster.eventually(look, "a controller leads")
        return found

    def logs(self, selector: str) -> str:
        """Return the last lines that containers of these pods wrote."""
        return self.cluster.api.kubectl(
            "logs", "-n", NAMESPACE, "-l", selector, "--all-containers", "--prefix", "--tail=40"
        )


@contextlib.asynccontextmanager
async def uninstalled(driver: Driver, *flags: str) -> AsyncIterator[None]:
    """Have nothing installed in the block, and everything again after it, with these flags."""
    await driver.uninstall()
    try:
        yield
    finally:
        await driver.install(*flags)
