"""``directpv up``: a new stack, or what has ended of the one that is in the directory."""

import os
from collections.abc import Collection
from pathlib import Path

from directpv_cli.local.lifecycle import reviving, start
from directpv_cli.local.stack import Options, Stack, StackError, address_of, load
from directpv_cli.reaching.local_stack import FILE
from directpv_cli.showing.terminal.lines import plain, say
from directpv_common.protocol.units import format_bytes


def started(options: Options, typed: Collection[str]) -> Stack:
    """Return the stack in the directory of ``options``, all of which runs then.

    Args:
        options: What a new stack shall be.
        typed: Flags that were given, by the names of their parameters; one that is there must not be different.

    Raises:
        StackError: It could not be started, or is another one than was asked for.
    """
    directory = Path(options.directory)
    if not (directory / FILE).exists():
        return start.up(options)
    if os.geteuid() != 0:
        raise StackError("needs root: it attaches loop devices and mounts them")
    require_same(load(directory), options, typed)
    stack, ended = reviving.start_again(directory)
    say(plain(f"Started again: {', '.join(ended)}" if ended else f"The stack in {directory} runs already"))
    return stack


def require_same(stack: Stack, options: Options, typed: Collection[str]) -> None:
    """Raise StackError, which names the flags, if they ask for another stack than the one that is there."""
    port = address_of(stack.nats_url)[1] if stack.nats_url else stack.options.nats_port
    there, wanted = stack.options, options
    rows = (
        ("nodes", "--nodes", there.nodes, wanted.nodes),
        ("drives", "--drives", there.drives, wanted.drives),
        ("size", "--size", there.drive_size, wanted.drive_size),
        ("controllers", "--controllers", there.controllers, wanted.controllers),
        ("nats_port", "--nats-port", port, wanted.nats_port or port),
    )
    wrong = [
        f"{flag} is {format_bytes(has) if name == 'size' else has} there"
        for name, flag, has, asked in rows
        if name in typed and has != asked
    ]
    if wrong:
        raise StackError(
            f"there is another stack in {stack.directory}: {', '.join(wrong)}; without these flags `directpv up` "
            "starts what has ended of it; `directpv down` deletes it, volumes and all; --state-dir names another place"
        )
