"""Thin adapters: registry and election on SQLite, the API and the nodes on the bus, metrics."""
