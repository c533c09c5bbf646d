"""Decisions without I/O: no asyncio, sockets, clock or chance of their own; clock and chance come in as arguments."""
