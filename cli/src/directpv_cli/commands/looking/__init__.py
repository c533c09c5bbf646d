"""Verbs that only look: nothing here asks anybody to change anything.

Shown by ``tests/stack/test_tool.py`` and ``tests/integration/cli_reach``.
"""
