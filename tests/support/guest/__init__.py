"""Machines with a kernel of their own, for tests that break drives: a lab of guests on one private network."""
