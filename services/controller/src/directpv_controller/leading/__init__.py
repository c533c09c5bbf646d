"""What it is to lead: the ports of registry and election, and one term with the only way to commit.

Whatever becomes durable goes through ``Term.commit``; shown by ``tests/integration/controller/leading``.
"""
