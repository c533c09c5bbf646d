"""What a node reports: believed after comparison, and turned into changes, orders and events.

Nothing is destroyed but what was acknowledged as deleted; shown by ``tests/unit/controller/core/taking_in``.
"""
