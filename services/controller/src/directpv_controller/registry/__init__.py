"""Where promises are kept: the port, and below it one folder per backend, each with its election.

A backend knows nothing of the API; shown by ``tests/integration/controller/registry`` and ``kubernetes_registry``.
"""
