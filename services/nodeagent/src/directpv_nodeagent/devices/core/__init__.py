"""Decisions of this room, without I/O: no asyncio, no files, no system calls, no clock."""
