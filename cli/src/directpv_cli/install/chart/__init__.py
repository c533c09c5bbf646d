"""The Helm chart, as text: the objects with words in the places of values. No I/O.

``tests/unit/cli/release/test_manifests.py`` compares it with ``manifests/``, ``tests/helm`` renders it with Helm.
"""
