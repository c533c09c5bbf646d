"""``install`` and ``uninstall``: from flags to a cluster, and what came of it."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from directpv_cli.install.applying import apply, memory, removal
from directpv_cli.install.applying.audit import audit_file
from directpv_cli.install.applying.kube import Cluster, connect
from directpv_cli.install.applying.prune import prune
from directpv_cli.install.applying.size import sized
from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.base import NAMESPACE, Object
from directpv_cli.install.objects.kube_version import NEWEST
from directpv_cli.install.objects.nats import SECRET, own
from directpv_cli.install.objects.options import KUBELET_DIR, Flags, Options
from directpv_cli.install.objects.parse import parse
from directpv_cli.install.objects.paths import Ref
from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal.lines import checked, fail, plain, say, trouble
from directpv_cli.showing.terminal.progress import bar
from directpv_cli.showing.terminal.tables import show
from directpv_common.access.installation import SHORTEST
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError

T = TypeVar("T")

FORMATS: Final = {"yaml": manifest.to_yaml, "json": manifest.to_json}


@dataclass(frozen=True)
class How:
    """How to install, beside what."""

    output: str = ""
    """``yaml`` or ``json``: print the objects, touch no cluster."""
    kubeconfig: str = ""
    wait: float = 0.0
    """Seconds to wait until everything runs."""
    chosen: frozenset[str] = frozenset()
    """Which of the flags were given that otherwise follow the cluster."""


def kubelet_dir() -> str:
    """Return kubelet's folder on the nodes, as upstream is told of it."""
    return os.environ.get("KUBELET_DIR_PATH", "") or KUBELET_DIR


def install(flags: Flags, how: How) -> None:
    """Print the objects, or put them into the cluster; the exit status is 0 only if all of them are in."""
    options = checked(lambda: _parse(flags, how))
    if how.output:
        sys.stdout.write(checked(lambda: _printer(how.output))(manifest.objects(options)))
        if own(options):
            say(f"not among them, and needed once, with a secret of at least {SHORTEST} characters: Secret {SECRET}")
        return
    outcome = _run(how.kubeconfig, lambda cluster: _install(cluster, flags, options, how))
    _tell(outcome)
    if not options.nats_url:
        say("the other verbs reach it by themselves, with the same kubeconfig; next: kubectl directpv discover")


def _parse(flags: Flags, how: How) -> Options:
    if how.output and how.wait:
        raise ValueError("--wait: with --output nothing is installed that could be waited for; leave one of them out")
    if not how.output and "--kube-version" in how.chosen:
        raise ValueError("--kube-version: is for --output; a cluster is asked for its version, so leave it out")
    return parse(flags)


def _printer(output: str) -> Callable[[Sequence[Object]], str]:
    if output not in FORMATS:
        raise ValueError(f"--output: {output!r}; use yaml or json")
    return FORMATS[output]


async def _install(cluster: Cluster, flags: Flags, options: Options, how: How) -> apply.Outcome:
    version = await apply.kube_version(cluster)
    if warning := apply.unsupported(version):
        say(f"[yellow]{warning}[/yellow]")
    options = replace(options, kube_version=version)
    options = await sized(cluster, options, how.chosen)
    if lost := memory.forgotten(await cluster.get(Ref("Namespace", NAMESPACE)), flags):
        say(f"[yellow]not repeated, and no longer in effect: {plain(' '.join(lost))}[/yellow]")
    items = memory.noted(manifest.objects(options), flags)
    with bar("Installing", len(items)) as step, audit_file(Path.home()) as audit:

        def done(item: Object) -> None:
            audit.note(item)
            step(manifest.name_of(item))

        outcome = await apply.install(cluster, items, done)
    if audit.problem:
        outcome.notes.append(f"no audit file: {audit.problem}")
    if not outcome.failures:
        await _finish(cluster, items, how, outcome)
    return outcome


async def _finish(cluster: Cluster, items: Sequence[Object], how: How, outcome: apply.Outcome) -> None:
    """Take away what these flags do not install, wait if asked to, and clean up behind upstream."""
    try:
        await prune(cluster, items, outcome)
        waiting = await apply.rolled_out(cluster, items, how.wait)
        await apply.remove_leftovers(cluster, waiting, outcome)
    except DirectPVError as error:
        outcome.failures.append(error.message)
        return
    if how.wait and waiting:
        late = ", ".join(map(str, waiting))
        outcome.failures.append(f"not running after {how.wait:g} s: {late}; look at kubectl -n directpv get pods")


def _tell(outcome: apply.Outcome) -> None:
    if outcome.applied and not settings.quiet:
        show(["NAME", "KIND"], [[ref.name, ref.kind] for ref in outcome.applied])
    for note in outcome.notes:
        say(f"[yellow]{plain(note)}[/yellow]")
    for ref in outcome.removed:
        say(f"removed {ref} of the earlier installation")
    for failure in outcome.failures:
        trouble(failure)
    if outcome.failures:
        fail(f"{len(outcome.failures)} failed, {len(outcome.applied)} are in; repeat when the cause is gone")
    changed = f"{len(outcome.changed)} of {counted(len(outcome.applied), 'object')} changed"
    say(f"[green]DirectPV is installed[/green]: {changed}")


def uninstall(*, dangerous: bool, kubeconfig: str, within: float) -> None:
    """Remove the installation; the exit status is 0 only if nothing of it is left."""
    if dangerous:
        say("[yellow]deleting the records of all drives and volumes; their data stay on the drives[/yellow]")
    result = _run(
        kubeconfig, lambda cluster: removal.uninstall(cluster, lambda _: None, dangerous=dangerous, within=within)
    )
    for failure in result.failures:
        trouble(failure)
    if result.failures:
        fail(f"{len(result.failures)} failed; repeat when the cause is gone")
    kept = f"{counted(result.records, 'record')} deleted" if dangerous else "drives, volumes and their records are kept"
    say(f"[green]DirectPV is uninstalled[/green]: {counted(len(result.removed), 'object')} removed, {kept}")


def _run(kubeconfig: str, work: Callable[[Cluster], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with connect(kubeconfig, settings.context) as cluster:
            return await work(cluster)

    try:
        return asyncio.run(connected())
    except DirectPVError as error:
        fail(error.message)
    except KeyboardInterrupt:
        fail("interrupted; repeat to finish")


__all__ = ["NEWEST", "Flags", "How", "install", "kubelet_dir", "uninstall"]
