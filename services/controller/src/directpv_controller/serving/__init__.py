"""What others ask of the leader: the API, and metrics.

Each answer comes after its commit and while this process leads; shown by ``tests/integration/controller/serving``.
"""
