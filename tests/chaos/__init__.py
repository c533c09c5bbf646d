"""Chaos: drives, agents, the bus, the registry and machines fail at times that a seed decides, while volumes are in use
and people suspend, repair and enlarge what there is.

    kinds ── schedule      what happens when: decided by the seed alone
    runner ─ operations    volumes are used as kubelet and pods would
           └ faults        drive_faults, node_faults, central_faults, people: each ends what it began
    model ── watch         what was acknowledged, what drives suffered, what their agents say of them
    verdict ─ machines     afterwards, everything comes to order, and everything acknowledged is there
"""
