"""A drive's life, from top to bottom; each room imports only those below it.

    changing/     what people order    init, repair
    watching/     looked at again      scans, growth, health, missing mounts
    taken/        what we have         drives, take-over, mounts, whose turn
    filesystem/   the XFS on it        mkfs, label, log, check-up
    core/         every decision       states, identity, orders, advice

Each state is a row of ``core/states``; shown by ``tests/*/nodeagent/drives``.
"""
