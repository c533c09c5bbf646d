"""Verbs that change drives and volumes: each finds its objects, says what it would do, and what came of each.

Checks are the controller's, and whatever is interrupted here may be repeated. Shown by ``tests/stack``.
"""
