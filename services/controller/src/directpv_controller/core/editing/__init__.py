"""What people and other programs did to custom resources: taken in or put back, and said in an Event.

Decided field by field; shown by ``tests/unit/controller/core/editing``.
"""
