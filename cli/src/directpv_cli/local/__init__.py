"""``directpv up | down | status | demo | volume``: a whole stack on one machine, on drives that it creates itself.

``machine/`` is what there is of it, ``lifecycle/`` how it comes and goes; ``tests/stack/test_local.py`` shows it.
"""
