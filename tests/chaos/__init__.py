"""Chaos: drives, agents, the bus and machines fail at times that a seed decides, while volumes are in use."""
