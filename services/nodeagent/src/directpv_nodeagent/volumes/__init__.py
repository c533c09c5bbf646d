"""A volume's life on its drive: prepare, stage, publish, expand, remove, purge.

Every change happens in the volume's turn and can be repeated; shown by ``tests/*/nodeagent/volumes``.
"""
