"""What people and programs are shown of drives, volumes and nodes; ``terminal/`` is how it gets there, and the end.

Standard output and error only; rich is imported when something is printed. ``tests/stack`` shows it from outside.
"""
