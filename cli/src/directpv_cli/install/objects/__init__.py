"""What goes into the cluster: flags become checked options, options become objects. No I/O of any kind.

``tests/unit/cli/install`` shows what must hold for every object; a change shows in ``manifests/``.
"""
