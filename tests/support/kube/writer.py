"""A pod that writes numbers to its volume without end, and ends as soon as a write or a read goes wrong."""

from typing import Any, Final

from support.kube.workloads import Object, Space, claim, pod

MARK: Final = "numbers for {name} without end"
"""In the command line of the process that writes, and of no other for longer than a fork."""
_SCRIPT: Final = """
set -e
: {mark}
[ -p /tmp/pause ] || mkfifo /tmp/pause
exec 3<>/tmp/pause
n=$(tail -n 1 {log} 2>/dev/null || echo 0)
while :; do
    n=$((n + 1))
    echo $n >> {log}
    echo $n > {last}
    sync {log} {last}
    read -r seen < {last}
    [ "$seen" = $n ]
    read -r -t 0.2 _ <&3 || :
done
"""
"""One process is started in a round: with four, three pods take a quarter of the machine. Nobody feeds the pipe."""


class Writer:
    """Pod ``name`` in a space, with a claim of the same name. What it counts is on the disk before it goes on."""

    def __init__(self, space: Space, name: str) -> None:
        self.space, self.name = space, name
        self.log, self.last = f"/{name}/log", f"/{name}/last"

    async def start(self, within: float = 180.0, **more: Any) -> Object:
        """Make claim and pod, and wait until it writes; ``more`` is for the pod's ``spec``."""
        await self.space.apply(claim(self.name))
        return await self.start_pod(within, **more)

    async def start_pod(self, within: float = 180.0, **more: Any) -> Object:
        """Make the pod for a claim that there is, and wait until it writes; return the pod."""
        await self.space.apply(self.manifest(**more))
        (found,) = await self.space.ready(f"app={self.name}", 1, within)
        await self.goes_on()
        return found

    def manifest(self, **more: Any) -> Object:
        """Return the pod as it is made."""
        script = _SCRIPT.format(mark=MARK.format(name=self.name), log=self.log, last=self.last)
        return pod(self.name, [self.name], script, **more)

    async def pod(self) -> Object:
        """Return the pod as it is."""
        (found,) = await self.space.objects("pods", f"--field-selector=metadata.name={self.name}")
        return found

    async def restarts(self) -> int:
        """Return how often its container was started again."""
        return restarts(await self.pod())

    async def volume(self) -> Object:
        """Return the object of its volume."""
        return (await self.space.volumes())[self.name]

    async def is_shown_in_use(self) -> bool:
        """Tell whether our object says that the pod has the volume mounted."""
        status = (await self.volume())["status"]
        return bool(status["stagingTargetPath"]) and str((await self.pod())["metadata"]["uid"]) in status["targetPath"]

    async def written(self) -> int:
        """Return how far it has come; nothing of what it wrote may be missing."""
        return checked(await self.space.sh(self.name, f"cat {self.log}"))

    async def goes_on(self) -> int:
        """Wait until it has written more than now; return how far it had come."""
        script = f"until [ -s {self.log} ]; do sleep 0.1; done; tail -n 1 {self.log}"
        before = int(await self.space.sh(self.name, script))
        await self.space.sh(self.name, f"until [ $(tail -n 1 {self.log}) -gt {before} ]; do sleep 0.1; done")
        return before

    async def check_undisturbed(self, began: Object) -> None:
        """Assert that the pod is the one that began, never had to start again, and writes."""
        await self.goes_on()
        await self.written()
        now = await self.pod()
        assert now["metadata"]["uid"] == began["metadata"]["uid"]
        assert restarts(now) == 0


def checked(text: str) -> int:
    """Return the last of the numbers from 1 on that ``text`` consists of."""
    numbers = [int(line) for line in text.split()]
    assert numbers == list(range(1, len(numbers) + 1)), f"not every number is there once, in order: {numbers}"
    return len(numbers)


def restarts(pod: Object) -> int:
    """Return how often the container of a pod was started again."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


def on(node: str) -> Object:
    """Return what a pod's ``spec`` says to run on that node."""
    return {"nodeSelector": {"kubernetes.io/hostname": node}}
