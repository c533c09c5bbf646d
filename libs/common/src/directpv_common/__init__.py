"""What every DirectPV service shares; knows no service and decides nothing.

what is said     messages/, api, subjects, wire, names, units, errors, open_enum, epochs, inodes, mount_options
how it is said   connecting -> nats_client -> bus; line keeps one, service answers, events tells; greeting, redact
who may say it   access/
one call         context, singleflight, scopes
one process      config, lifecycle, logs, monitoring, clock, command
Kubernetes       crd/
"""

__version__ = "0.1.0"
