"""The leader's side of the nodes: who is there, what they have, what they are told, which pods they serve.

Orders carry the term's fence, and nothing here delays a reply; shown by ``tests/integration/controller/nodes``.
"""
