"""One process: its settings, its end by signals, its log, its health over HTTP, its programs, its clock.

Nothing here knows what a drive or a volume is; shown by ``tests/unit/common/process`` and
``tests/integration/common/process``.
"""
