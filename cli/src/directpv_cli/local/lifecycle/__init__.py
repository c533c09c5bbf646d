"""``up`` and ``down``: a new stack, what has ended of one started again, all of it taken down.

A stack that is cut short in the middle is found again by its directory; ``tests/stack/test_up_again.py`` and
``tests/stack/test_ended.py`` show it.
"""
