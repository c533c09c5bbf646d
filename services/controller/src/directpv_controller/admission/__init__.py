"""Who may come into the bus of a cluster: the auth callout of NATS, and the door at which nodes show who they are.

Every controller answers, whether it leads or not, and from memory where it can. ``core`` decides;
``tests/integration/kubernetes_admission`` shows it with real servers of NATS and Kubernetes.
"""
