"""What is looked at again and again: scans, growth, health, missing mounts, processes on a failed drive.

A scan decides nothing by itself: each state is a row of ``drives/core/states``; shown by
``tests/*/nodeagent/drives/watching``.
"""
