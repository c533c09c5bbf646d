"""How objects get into a cluster and away: only ``kube`` talks to its API server, only ``audit`` writes a file.

What is there is fitted, taken over or replaced; ``tests/integration/kubernetes_install`` shows it on a real server.
"""
