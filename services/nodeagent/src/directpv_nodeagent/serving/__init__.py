"""What others see of the node: heartbeat and inventory, events, samples, metrics.

Nothing here changes a drive, and nothing waits for the bus; shown by ``tests/*/nodeagent/serving``.
"""
