"""What ``kubectl directpv install`` puts into a cluster, and how.

``options`` validates flags; ``base``, ``rbac``, ``nats``, ``controller`` and ``node`` build objects and do no I/O;
``manifest`` puts them in order; ``chart`` turns the same objects into a Helm chart. Only ``kube``, ``apply``,
``takeover``, ``removal`` and ``audit`` do I/O.
"""
