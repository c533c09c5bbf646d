"""The registry in one SQLite file, for one machine; the lease is a row of it.

Every write checks the lease in its own transaction; shown by ``tests/integration/controller/registry``.
"""
