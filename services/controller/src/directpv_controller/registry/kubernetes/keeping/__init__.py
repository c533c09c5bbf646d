"""How a promise is kept: commits become writes of objects, in order, one lane per drive, only while we lead.

What is written here decides what a crash leaves; shown by ``tests/integration/kubernetes_registry/test_storm.py``.
"""
