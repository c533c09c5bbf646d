"""The way to the API server: connections, tokens, errors, and what is watched there; nothing of drives or volumes.

Shown by ``tests/integration/kubernetes_registry/test_client.py`` and ``test_informer.py``.
"""
