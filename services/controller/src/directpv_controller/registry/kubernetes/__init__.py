"""The registry in upstream's custom resources, for clusters; the lease is a Lease.

Others may write these objects too: ``edits`` and ``requests`` take that in;
shown by ``tests/integration/kubernetes_registry``.
"""
