"""What a volume asks for and which drive it gets, or why none; the drives and volumes as memory has them (``model``).

Nothing here may be linear in the cluster on a request's way; shown by ``tests/unit/controller/core/placing``.
"""
