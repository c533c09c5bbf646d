"""What every DirectPV service shares; knows no service and decides nothing.

    bus/       how it is said        connect, ask, answer, tell
    process/   one process           settings, end, log, health
    crd/       custom resources      upstream's, field by field
    access/    who may say it        roles, keys
    calls/     one call              deadline, trace, scopes
    protocol/  what is said          messages, subjects, names, errors

From top to bottom; each imports only those below it.
"""

__version__ = "0.1.0"
