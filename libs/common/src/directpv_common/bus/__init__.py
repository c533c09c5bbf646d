"""How it is said: connecting -> nats_client -> bus; line keeps one, service answers, events tells.

``lean_nats``, ``heeding``, ``short_ways``, ``transport`` and ``nats_client`` are the only places that know the insides
of nats-py; shown by ``tests/integration/common/bus``.
"""
