"""The kernel: system calls, the mount table, quota, files, threads and programs that may hang.

Knows nothing of drives and volumes, so that nothing of them belongs here; shown by ``tests/*/nodeagent/linux``.
"""
