"""The XFS of a drive: its label and log read, made, written to for a check-up.

The one place that destroys data is ``mkfs``; shown by ``tests/integration/nodeagent/drives/filesystem``.
"""
