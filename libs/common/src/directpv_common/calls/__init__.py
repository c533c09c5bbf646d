"""One call: its deadline and trace, the calls that join it, and scopes that end all they started.

Whatever waits, waits in a scope of ``scopes``; shown by ``tests/unit/common/calls``.
"""
