"""``kubectl directpv``, the administrator's tool; ``directpv``, a stack on one machine."""
