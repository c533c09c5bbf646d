"""How anything gets onto a terminal, a pipe or a page of another program: lines, tables, documents, progress, the end.

Knows nothing of drives and volumes; ``tests/unit/cli/showing`` shows it.
"""
