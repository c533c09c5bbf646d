"""What people write, read: ranges, labels, ages, selections, drives.yaml, and the flags of every verb.

Pure but for ``drives_yaml.read``; what is wrong is a ValueError that says how to write it. ``tests/unit/cli/reading``.
"""
