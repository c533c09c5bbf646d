"""What hardware is there: block devices, what they carry, who uses them, how their disks feel.

Only reads: whatever writes to a device belongs to ``drives``; shown by ``tests/*/nodeagent/devices``.
"""
