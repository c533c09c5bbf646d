"""``manifests/monitoring/`` and ``docs/alerts/``: what Prometheus scrapes, when it alerts, what Grafana shows.

One table of alerts gives rules and pages; reasons, effects and advice are those of the common vocabulary.
"""
