"""What is said on the bus: messages, the table of both APIs, subjects, names, units, errors, the encoding. No I/O.

A change here concerns every service, and one version back (``open_enum``, defaults of new fields); shown by
``tests/unit/common/protocol``.
"""
