"""Runs the suites of tests: what each needs is set up, what mostly waits runs side by side, and one table tells it all.

``python -m suites`` with ``tests`` on the path; ``make test``, ``make test-all`` and ``make <suite>`` call it.
"""
