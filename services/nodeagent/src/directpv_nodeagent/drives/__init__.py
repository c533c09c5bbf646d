"""A drive's life: mkfs, take-over, states, scans, growth, repair, renewal of its mounts.

    which there are   drives, remembered, twins, numbers, core/states
    looked at         scanner, inspection, checkup, health, evasion, failures
    made, taken over  devices, mkfs, xfs, xfs_log, takeover
    changed           growth, repair, repair_device
    its mounts        renewal, missing
    whose turn        turns, work

The one place that destroys data is ``mkfs``; each state is a row of ``core/states``;
shown by ``tests/*/nodeagent/drives``.
"""
