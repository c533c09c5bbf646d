"""A cluster to play with: ``python -m support.kube`` starts one with DirectPV in it, and ends it at Ctrl-C."""

import asyncio
import os
import signal
import tempfile
from pathlib import Path

from support.guest import network
from support.kube import images, programs
from support.kube.cluster import OwnCluster
from support.kube.driver import Driver


async def main(archives: list[Path], nodes: int, drives: int) -> None:
    """Start everything, say how to reach it, and wait for a signal."""
    with tempfile.TemporaryDirectory(prefix="directpv-cluster-") as path:
        cluster = OwnCluster(Path(path), images.store(archives))
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            await asyncio.wait_for(cluster.start(nodes, drives), 900)
            print(
                f"nsenter --net=/proc/{os.getpid()}/ns/net env KUBECONFIG={cluster.api.admin} "
                f"PATH={cluster.api.programs}:$PATH bash",
                flush=True,
            )
            driver = Driver(cluster)
            try:
                await driver.install()
                await driver.make_drives(cluster.disks())
                print("DirectPV runs, its drives are ready", flush=True)
            except (AssertionError, TimeoutError) as error:
                print(error, "the cluster stays up", sep="\n", flush=True)
            await stop.wait()
        finally:
            await cluster.close()


if __name__ == "__main__":
    programs.kubernetes()
    built = images.build()
    network.enter()  # no registry is in reach from here on
    asyncio.run(main(built, nodes=int(os.environ.get("NODES", "3")), drives=int(os.environ.get("DRIVES", "4"))))
