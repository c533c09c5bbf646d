"""``rotate``: another secret of the bus, and with it all keys and certificates."""

import asyncio
from collections.abc import Awaitable, Callable

from directpv_cli.install.applying import rotation
from directpv_cli.install.applying.kube import connect
from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal.lines import fail, plain, say
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition

LOOK_SECONDS = 1.0
SHOWN = 5


def rotate(*, kubeconfig: str, within: float) -> None:
    """Replace the secret; the exit status is 0 only if nothing that was made of the former one counts any more."""

    async def connected() -> None:
        async with connect(kubeconfig, settings.context) as cluster:
            await rotation.rotate(cluster, waiting(within), lambda text: say(plain(text)))

    try:
        asyncio.run(connected())
    except DirectPVError as error:
        fail(error.message)
    except KeyboardInterrupt:
        fail("interrupted; both secrets are good for now; repeat to finish")
    say(
        "[green]the secret of the bus is another one[/green]; contexts that nats-context wrote have to be written again"
    )


def waiting(within: float) -> rotation.Wait:
    """Return what waits so many seconds for each thing."""

    async def wait(what: str, late: Callable[[], Awaitable[list[str]]]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while missing := await late():
            if loop.time() >= end:
                names = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if missing[SHOWN:] else "")
                raise FailedPrecondition(
                    f"{what}: not after {within:g} s: {names}; both secrets are good for now; repeat to go on"
                )
            await asyncio.sleep(LOOK_SECONDS)

    return wait
