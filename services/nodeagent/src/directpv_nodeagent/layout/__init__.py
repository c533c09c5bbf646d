"""What stands on a mounted drive, and what the agent remembers of it: identity, records, directories, quotas.

What is written here must be readable by upstream and by older agents; shown by ``tests/*/nodeagent/layout``.
"""
