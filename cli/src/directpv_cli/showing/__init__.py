"""What people and programs are shown, and how a command ends: lines, tables, documents, progress, exit statuses.

Standard output and error only; rich is imported when something is printed. ``tests/stack`` shows it from outside.
"""
