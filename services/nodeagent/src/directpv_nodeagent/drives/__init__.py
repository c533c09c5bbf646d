"""A drive's life: mkfs, take-over, states, scans, growth, repair, renewal of its mounts.

The one place that destroys data is ``mkfs``; each state is a row of ``core/states``;
shown by ``tests/*/nodeagent/drives``.
"""
