"""The verbs of ``kubectl directpv`` as people type them: flags, defaults and help; names are upstream's.

Nothing heavy is imported here but inside a verb; what it does is in ``commands``. ``tests/unit/cli/test_verbs.py``.
"""
