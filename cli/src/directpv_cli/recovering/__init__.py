"""``recover``: what drives remember, and the registry or Kubernetes does not have.

Only the API server is touched here; what is decided is in ``core``; shown by ``tests/unit/cli/recovering``.
"""
