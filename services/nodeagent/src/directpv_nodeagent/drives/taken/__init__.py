"""The drives that this node has taken over: which there are, how one is taken, its mounts renewed, whose turn it is.

Whatever touches a drive does it in the drive's turn (``turns``) and on its own threads (``work``); shown by
``tests/*/nodeagent/drives/taken``.
"""
