"""Thin connections of the core to SQLite and the bus."""
