"""``directpv up | down | status | demo``: a whole stack on one machine, on drives that it creates itself."""
