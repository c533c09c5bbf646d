"""The ledger: what is promised to whom. A method changes memory at once and returns the change to be committed.

Every decision can be taken back, and ``invariants`` holds at all times; shown by
``tests/unit/controller/core/reserving``.
"""
