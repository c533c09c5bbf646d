"""Thin connections of the core to Linux (udev, XFS, mounts, quotas) and the bus."""
