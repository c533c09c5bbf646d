"""What people order for a drive: init and repair.

Each asks ``devices/core/rules`` again before it writes; shown by ``tests/*/nodeagent/drives/changing``.
"""
