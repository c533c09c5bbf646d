"""``directpv up | down | status | demo``: a whole stack on one machine, on drives that it creates itself.

Only here processes, loop devices and mounts are made, and taken away again; ``tests/stack/test_local.py`` shows it.
"""
