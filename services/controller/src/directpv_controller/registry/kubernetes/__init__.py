"""The registry in upstream's custom resources, for clusters; the lease is a Lease. ``store`` puts it together.

Others may write these objects too: ``editing`` takes that in; shown by ``tests/integration/kubernetes_registry``.
"""
