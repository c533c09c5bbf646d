"""Who is who on the bus, and who may say and hear what there.

To be touched: the table in ``roles``, by each new subject. ``tests/integration/access`` tries each role on all of them.
"""
