"""What ``kubectl directpv install`` puts into a cluster, and how.

``objects`` says what, ``applying`` brings it into a cluster and away, ``chart`` writes it as a Helm chart.
"""
