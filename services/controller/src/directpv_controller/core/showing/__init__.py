"""What is listed of drives, volumes and nodes, and in which pages; changes nothing.

A page is bounded in bytes; shown by ``tests/unit/controller/core/showing``.
"""
