"""The console's server: who may come in, what is heard on the bus, pages, streams.

Shown by ``tests/console``, in a real browser.
"""
