"""The way from a command to the installation's bus: a URL, or a port that kubectl forwards while the command runs.

Starts and ends kubectl, and nothing else; ``tests/unit/cli/reaching`` and ``tests/integration/cli_reach`` show it.
"""
