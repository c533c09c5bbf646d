"""What others write into our objects: taken in, carried out, or put back with the reason.

People, upstream's plugin and controllers; shown by ``tests/integration/kubernetes_registry/test_edits.py``.
"""
