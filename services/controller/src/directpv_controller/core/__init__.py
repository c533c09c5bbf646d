"""Decisions without I/O: no asyncio, sockets, clock or chance of their own; clock and chance come in as arguments.

    showing/     what is listed, page by page
    editing/     what people did to objects, and what is said of it
    taking_in/   what nodes report, and what follows from it
    reserving/   the ledger: what is promised to whom, and that it adds up
    placing/     what is asked for, and which drive it gets; drives and volumes themselves (``model``)

The first three stand side by side; otherwise each imports only those below it. Shown by ``tests/unit/controller/core``.
"""
