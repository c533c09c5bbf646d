"""The table of alerts: when each fires, what causes it, what it does to users, what people can do."""

from dataclasses import dataclass
from typing import Final

from directpv_common.protocol.messages import Effect
from directpv_common.protocol.reasons import BY_CONDITION, TABLE, Reason

CRITICAL: Final = "critical"
WARNING: Final = "warning"
_WHAT: Final = "* on (drive, instance) group_left (node, device, make, serial) directpv_drive_info"
"""Says which drive it is. Both sides come from one scrape, so that a drive that moves between nodes matches once."""
_LEADERS: Final = "2m"
"""For how long what a leader said counts after it: another one leads, and is scraped, before that. Without it an alert
that lasts would end, and begin anew, each time that the leader changes."""
_DRIVE: Final = "drive {{ $labels.drive }} ({{ $labels.device }}) of {{ $labels.node }}"
_WHOSE: Final = "run: kubectl directpv describe volume VOLUME, which names claim and pod"
_EFFECTS: Final = {
    Effect.INACCESSIBLE: "Volumes on the drive cannot be used; those on other drives are not affected.",
    Effect.DEGRADED: "Volumes on the drive are served; they may become slow, full or lost.",
}


@dataclass(frozen=True)
class Alert:
    """One rule, and its page."""

    name: str
    expr: str
    lasts: str
    """For how long it must hold, as Prometheus writes durations."""
    severity: str
    summary: str
    """One line; labels of the series in it as Prometheus' templates have them."""
    cause: str
    effect: str
    advice: str


def _said(name: str, where: str = "", by: str = "") -> str:
    """Return what the leader says, whichever controller that is: ``max`` drops what names its pod."""
    return f"max{f' by ({by}) ' if by else ''}(last_over_time(directpv_controller_{name}{where}[{_LEADERS}]))"


def _of(reason: Reason) -> Alert:
    """Return the alert for a reason why a drive is not well."""
    meaning = TABLE[reason]
    return Alert(
        name=f"DirectPV{reason}",
        expr=f'(directpv_drive_condition{{reason="{reason}"}} == 1) {_WHAT}',
        lasts="1m" if meaning.effect is Effect.INACCESSIBLE else "5m",
        severity=CRITICAL if meaning.effect is Effect.INACCESSIBLE else WARNING,
        summary=f"{_DRIVE}: {meaning.says}",
        cause=f"The drive's node says so: {meaning.says}.",
        effect=_EFFECTS[meaning.effect],
        advice=meaning.advice.replace("{drive}", "DRIVE"),
    )


OF_DRIVES: Final = tuple(_of(reason) for reason in TABLE if reason in BY_CONDITION.values())

OTHERS: Final = (
    Alert(
        "DirectPVDrivesNotServed",
        _said("drives", '{status=~"Lost|Error"}', by="status") + " > 0",
        "5m",
        CRITICAL,
        "{{ $value }} drives are {{ $labels.status }}",
        "The leader's registry has drives that no node serves. Those of a node whose agent was started without them "
        "are known here alone.",
        _EFFECTS[Effect.INACCESSIBLE],
        "run: kubectl directpv list drives --status lost,error; each drive says why",
    ),
    Alert(
        "DirectPVDriveMediaErrors",
        f"(increase(directpv_drive_media_errors_total[1h]) > 0) {_WHAT}",
        "0m",
        WARNING,
        f"{_DRIVE}: the disk has new media errors",
        "The disk could not correct what it read.",
        "Reads of some files fail, or will.",
        "look at the disk's health (smartctl -a); cordon the drive and replace the disk if errors go on",
    ),
    Alert(
        "DirectPVDriveWornOut",
        f"(directpv_drive_wear_ratio > 0.9) {_WHAT}",
        "1h",
        WARNING,
        f"{_DRIVE}: {{{{ $value | humanizePercentage }}}} of the disk's endurance is used",
        "More was written to the disk than most of what its maker rates it for.",
        "Volumes are served as before; the disk may become read-only.",
        "plan its replacement: kubectl directpv evacuate DRIVE, which moves its volumes to other drives of the node",
    ),
    Alert(
        "DirectPVDriveHot",
        f"(directpv_drive_temperature_celsius > 65) {_WHAT}",
        "15m",
        WARNING,
        f"{_DRIVE}: the disk has {{{{ $value }}}} °C",
        "Cooling is bad, or a fan stands still.",
        "The disk slows down, and ages.",
        "look at fans, filters and the load of the node",
    ),
    Alert(
        "DirectPVVolumeNearlyFull",
        "directpv_stats_bytes_used / directpv_stats_bytes_total > 0.9",
        "10m",
        WARNING,
        "volume {{ $labels.volumeID }}: {{ $value | humanizePercentage }} used",
        "The application has written nearly as much as its claim asked for.",
        "At 100 % its writes fail with ENOSPC or EDQUOT.",
        f"{_WHOSE}; enlarge the claim (kubectl patch pvc), or delete data",
    ),
    Alert(
        "DirectPVVolumeFewInodes",
        "directpv_volume_inodes_free / (directpv_volume_inodes_free + directpv_volume_inodes_used) < 0.05",
        "10m",
        WARNING,
        "volume {{ $labels.volume }}: {{ $value | humanizePercentage }} of its files and directories left",
        "The application makes many small files.",
        "It can make no more of them although there are bytes left.",
        f"{_WHOSE}; enlarge the claim, delete files, or use a class with fewer bytes per inode",
    ),
    Alert(
        f"DirectPV{Reason.VOLUME_LEFT_BEHIND}",
        f'directpv_volume_condition{{reason="{Reason.VOLUME_LEFT_BEHIND}"}} == 1',
        "5m",
        WARNING,
        "volume {{ $labels.volume }} of {{ $labels.node }}: a container keeps what failed of it",
        f"The volume's node says so: {TABLE[Reason.VOLUME_LEFT_BEHIND].says}.",
        "That container gets I/O errors, though drive and volume are well.",
        TABLE[Reason.VOLUME_LEFT_BEHIND].advice,
    ),
    Alert(
        "DirectPVVolumesContested",
        f"{_said('volumes_contested')} > 0",
        "5m",
        WARNING,
        "{{ $value }} volumes are shown by drives on which the registry does not have them",
        "A copy of a disk, a restored backup, or a disk that was away while its volume was made anew elsewhere.",
        "Where nothing says which one is meant, pods with that volume do not start; nothing is overwritten.",
        "run: kubectl directpv status; it names the volumes, and what explains each",
    ),
    Alert(
        "DirectPVDrivesOvercommitted",
        f"{_said('drives_overcommitted')} > 0",
        "5m",
        WARNING,
        "{{ $value }} drives have less than their volumes were promised",
        f"The leader says so: {TABLE[Reason.DRIVE_IS_OVERCOMMITTED].says}, for more was found on it than was known.",
        "Volumes there are served; they may find their drive full before they are.",
        "run: kubectl directpv events --type drive.overcommitted, which names them; "
        + TABLE[Reason.DRIVE_IS_OVERCOMMITTED].advice,
    ),
    Alert(
        "DirectPVCapacityLow",
        f"{_said('free_bytes')} / ({_said('free_bytes')} + {_said('allocated_bytes')}) < 0.1",
        "30m",
        WARNING,
        "{{ $value | humanizePercentage }} of all drives is left for new volumes",
        "Nearly all space was promised to volumes.",
        "New volumes will soon not be placed.",
        "add drives (kubectl directpv discover, then init), or delete volumes that are not needed",
    ),
    Alert(
        "DirectPVPlacementRefused",
        "sum by (reason) (increase(directpv_controller_placement_refusals_total[10m])) > 0",
        "0m",
        WARNING,
        "volumes find no drive, mostly because drives are {{ $labels.reason }}",
        "No drive fits what a claim asks for.",
        "Claims stay Pending.",
        "run: kubectl directpv explain pvc CLAIM; it says of each drive why not, and what would help",
    ),
    Alert(
        "DirectPVMovesStuck",
        f"{_said('moves_stuck')} > 0",
        "1m",
        WARNING,
        "{{ $value }} moves of volumes do not go on",
        "What was to be copied cannot be read or written, or what the volume was on the drive that it left is still in "
        "use.",
        "Each volume is served, with all its data; its space is taken on both drives.",
        "run: kubectl directpv status; it names the volumes, and says what each waits for",
    ),
    Alert(
        "DirectPVNodeOffline",
        _said("nodes", '{state="offline"}') + " > 0",
        "5m",
        CRITICAL,
        "{{ $value }} nodes with drives are offline",
        "Their agents are not heard: a node that is down, a pod that does not run, a network that is cut.",
        "Volumes there are not made, enlarged or deleted; if only the agent is away, pods go on with their volumes.",
        f"run: kubectl directpv status, which names them; {TABLE[Reason.NODE_OFFLINE].advice}",
    ),
    Alert(
        f"DirectPV{Reason.SCAN_FAILED}",
        "directpv_node_scan_failed == 1",
        "5m",
        WARNING,
        "the agent at {{ $labels.instance }} cannot look at the devices of its node",
        f"The agent says so: {TABLE[Reason.SCAN_FAILED].says}.",
        "Drives that come, go or fail are not noticed; mounted volumes are served.",
        TABLE[Reason.SCAN_FAILED].advice,
    ),
    Alert(
        "DirectPVNoLeader",
        "absent(directpv_controller_is_leader) or sum(directpv_controller_is_leader) == 0",
        "2m",
        CRITICAL,
        "no controller leads",
        "No controller runs, or none can reach NATS and its registry.",
        "Volumes are not made, enlarged or deleted; those there are work on.",
        "look at the pods of Deployment controller and their logs",
    ),
    Alert(
        "DirectPVNoAgents",
        'absent(directpv_build_info{component="nodeagent"})',
        "10m",
        CRITICAL,
        "no node agent is scraped",
        "The DaemonSet node-server does not run, or Prometheus does not find its pods.",
        "Nobody watches the drives.",
        "look at the DaemonSet node-server and at the PodMonitor directpv-node",
    ),
    Alert(
        "DirectPVBusDisconnected",
        "directpv_bus_connected == 0",
        "2m",
        CRITICAL,
        "{{ $labels.component }} at {{ $labels.instance }} does not reach NATS",
        "Its NATS server is away, or does not let it in.",
        "Of a controller: it cannot lead. Of an agent or a gateway: volumes of the node are not staged or published.",
        "look at the logs of the program and of NATS; /ready of the program says more",
    ),
    Alert(
        "DirectPVBusUnsteady",
        "sum by (component, instance) (increase(directpv_bus_reconnects_total[15m])) > 10",
        "5m",
        WARNING,
        "{{ $labels.component }} at {{ $labels.instance }} connects to NATS again and again",
        "NATS' servers are restarted or overloaded, or the network between loses connections.",
        "Calls take longer, for they are made again; the history of events may lag.",
        "look at the logs of NATS and of the program, and at the network between them",
    ),
    Alert(
        "DirectPVBusRefuses",
        'sum by (role) (increase(directpv_controller_bus_admissions_total{outcome="refused"}[15m])) > 30',
        "15m",
        WARNING,
        "NATS keeps out {{ $labels.role }}s, again and again",
        "A key or token is not the installation's, was revoked, or somebody speaks without TLS who should not.",
        "Of a node: events and orders wait, mounts go on. Of anybody else: whoever it is cannot get in.",
        "look at the controllers' logs for: not let in; they say who, from where, and why",
    ),
    Alert(
        "DirectPVBusCutOff",
        "sum by (role) (increase(directpv_controller_bus_cuts_total[15m])) > 0",
        "0m",
        WARNING,
        "a {{ $labels.role }} was cut off from NATS",
        "Its key or pod is not known any more, or it sent more than one of its role may.",
        "It is kept out: for good, or for a minute.",
        "look at the controllers' logs for: cut off; a node that floods may be in the hands of somebody else",
    ),
    Alert(
        "DirectPVBusRepliesLate",
        "sum by (component, instance) (rate(directpv_bus_requests_late_total[5m])) > 0.1",
        "10m",
        WARNING,
        "{{ $labels.component }} at {{ $labels.instance }} gets replies late or not at all",
        "Who is asked hangs or is overloaded, or NATS loses messages.",
        "Calls take longer, for they are made again, and end with DEADLINE_EXCEEDED.",
        "look at directpv_bus_requests_late_total by endpoint, then at the log of who answers it",
    ),
    Alert(
        "DirectPVBusMessagesDropped",
        'sum by (component, instance, why) (increase(directpv_bus_messages_dropped_total{why!="away"}[15m])) > 0',
        "0m",
        WARNING,
        "messages to or of {{ $labels.component }} at {{ $labels.instance }} were dropped ({{ $labels.why }})",
        "The program does not read as fast as others send (slow), or something fits into no message (large).",
        "Heartbeats and samples are missing until the next ones; calls are made again.",
        "look at the program's log and its use of the processor",
    ),
    Alert(
        "DirectPVEventsWait",
        "directpv_bus_events_buffered > 1000",
        "5m",
        WARNING,
        "{{ $value }} events of {{ $labels.component }} at {{ $labels.instance }} wait for JetStream",
        "JetStream has no quorum or no room, or the node does not reach the hub.",
        "The history of events lags; of more than 10,000 the oldest are dropped.",
        "look at NATS and its JetStream",
    ),
    Alert(
        "DirectPVCallsFail",
        "sum by (method, code) (rate(directpv_csi_calls_total"
        '{code=~"INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED"}[5m])) > 0.02',
        "10m",
        WARNING,
        "CSI calls {{ $labels.method }} end with {{ $labels.code }}",
        "The controller, an agent or a drive does not do what is asked.",
        "Pods wait for their volumes.",
        "look at the log of the gateway, which names volume and reason of each",
    ),
    Alert(
        "DirectPVThreadsHang",
        "directpv_node_hung_threads > 0",
        "5m",
        WARNING,
        "{{ $value }} threads of the agent at {{ $labels.instance }} hang in the kernel",
        "A disk does not answer.",
        "Operations on its volumes wait or fail; others go on.",
        "look at the kernel log of the node; a disk that never answers again needs a reboot",
    ),
    Alert(
        "DirectPVDrivesNotReconciled",
        f"{_said('drives_not_reconciled')} > 0",
        "10m",
        WARNING,
        "what nodes tell of {{ $value }} drives cannot be taken in",
        "A record on a drive contradicts the registry, or cannot be understood.",
        "The registry may not know all volumes of these drives.",
        "run: kubectl directpv events; look at the controller's log",
    ),
    Alert(
        "DirectPVUnreadableRecords",
        f"{_said('unreadable_records')} > 0",
        "5m",
        WARNING,
        "{{ $value }} records of the registry cannot be read",
        "They were written by a later version, or damaged.",
        "What they stand for is not shown until its node reports it.",
        "look at the controller's log, which names them",
    ),
    Alert(
        "DirectPVEventsDropped",
        "increase(directpv_node_events_dropped_total[1h]) > 0 or "
        "increase(directpv_controller_events_dropped_total[1h]) > 0",
        "0m",
        WARNING,
        "events of {{ $labels.instance }} were dropped",
        "JetStream was away for long while much happened.",
        "The history of events has a gap; nothing else is lost.",
        "look at NATS and its JetStream",
    ),
)

ALERTS: Final = (*OF_DRIVES, *OTHERS)
