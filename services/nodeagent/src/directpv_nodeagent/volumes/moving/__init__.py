"""A volume on its way to another drive of the node: `copying` (rsync), `comparing`, `incoming` (what stands on the
drives), `move` (one volume's way), `moves` (all of them, and who asks for them).

Nothing here decides which drive has the volume: the registry does. Shown by ``tests/integration/nodeagent/moving``.
"""
