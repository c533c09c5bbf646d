"""What Prometheus sums up over all nodes while it scrapes, for the dashboard of the fleet.

A picture of six hours of each drive of 2,000 nodes is more than Prometheus answers at once (``--query.max-samples``);
their sum at each moment is not.
"""

from typing import Final

DRIVES_UNWELL: Final = "reason:directpv_drive_condition:sum"
CALLS: Final = "method_code:directpv_csi_calls:rate5m"
BUS_SECONDS: Final = "endpoint:directpv_bus_request_seconds:rate5m"

RECORDS: Final = {
    DRIVES_UNWELL: "sum by (reason) (directpv_drive_condition)",
    CALLS: "sum by (method, code) (rate(directpv_csi_calls_total[5m]))",
    BUS_SECONDS: "sum by (endpoint) (rate(directpv_bus_request_seconds_sum[5m]))",
}
"""Names, as Prometheus asks for them (labels that are left, metric, what was done), to expressions."""
