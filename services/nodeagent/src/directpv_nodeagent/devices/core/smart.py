"""What a disk says about its own health, from the JSON that smartctl prints.

Source: smartctl(8), section "RETURN VALUES"; NVM Express Base Specification 1.4, figure 194 (SMART / Health
Information log); ACS-4, sections 9.5.4 and 9.5.8 (device statistics); SPC-4, ASC 5Dh and 0Bh. Disks tell nonsense: a
figure that cannot be true counts as not told.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

ASLEEP_STATUS: Final = 129
"""Exit status that smartctl is asked for when a disk sleeps: bits 0 and 7 never come together otherwise."""

_DISK_FAILING: Final = 1 << 3
_COMMON_MOST: Final = 2**53
_HOURS_MOST: Final = 2**31
_NVME_WARNINGS: Final = (
    (0, "its spare blocks are used up below the threshold"),
    (2, "it is unreliable after media or internal errors"),
    (3, "it has made itself read-only"),
    (4, "its power-loss protection failed"),
    (5, "its persistent memory region is unreliable or read-only"),
)
"""Bits of the critical warning; bit 1 is heat, which is no failure, and has a figure of its own."""
_HEAT: Final = (0x0B, 0x01)
_WEAR_ATTRIBUTES: Final = frozenset(
    {"SSD_Life_Left", "Media_Wearout_Indicator", "Wear_Leveling_Count", "Percent_Lifetime_Remain", "Remaining_Lifetime"}
)
"""ATA attributes, by smartctl's names, whose normalised value counts from 100 down as the disk wears."""
_SPARE_ATTRIBUTES: Final = frozenset({"Available_Reservd_Space"})
_UNCORRECTED_ATTRIBUTES: Final = (187, 198, 5)
"""Reported uncorrectable errors, offline uncorrectable, reallocated sectors: the first that the disk has is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What one disk says, or several below one drive; None: it does not say."""

    serial: str = ""
    """Empty if unknown, or of several disks."""
    temperature: int | None = None
    """Degrees Celsius."""
    media_errors: int | None = None
    """Reads that could not be corrected, since the disk was made."""
    wear: int | None = None
    """Percent of the rated endurance that is used; may exceed 100."""
    spare: int | None = None
    """Percent of the spare blocks that are left."""
    power_on_hours: int | None = None
    predicted: bool | None = None
    """Whether the disk expects to fail, or is worn out."""
    reasons: tuple[str, ...] = ()
    """Why, in words; empty unless ``predicted``."""

    @property
    def says_nothing(self) -> bool:
        """Whether no figure and no verdict is known."""
        told = (self.temperature, self.media_errors, self.wear, self.spare, self.power_on_hours, self.predicted)
        return all(value is None for value in told)


def parse_smartctl(text: str, status: int) -> Health | None:
    """Read what ``smartctl --json -a -l devstat`` printed.

    Args:
        text: Its standard output; may be anything.
        status: Its exit status, a set of bits: data may be complete in spite of some.

    Returns:
        None if the disk says nothing about its health: not supported, gone, or garbage.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    said = _Said(document)
    reasons = tuple(_reasons(said, status))
    health = Health(
        serial=said.text("serial_number"),
        temperature=_temperature(said),
        media_errors=_media_errors(said),
        wear=_wear(said),
        spare=_spare(said),
        power_on_hours=said.number("power_on_time", "hours", most=_HOURS_MOST),
        predicted=True if reasons else _verdict(said),
        reasons=reasons,
    )
    return None if health.says_nothing else health


def combined(disks: Mapping[str, Health]) -> Health | None:
    """Return the health of a drive over several ``disks`` (by name): it is as bad as the worst of them.

    Several paths to one disk, told by its serial number, count once. None if no disk says anything.
    """
    by_serial = {health.serial or name: (name, health) for name, health in sorted(disks.items())}
    found = list(by_serial.values())
    if len(found) < 2:
        return found[0][1] if found else None
    healths = [health for _, health in found]
    errors = _known(health.media_errors for health in healths)
    verdicts = [health.predicted for health in healths if health.predicted is not None]
    return Health(
        temperature=max(_known(health.temperature for health in healths), default=None),
        media_errors=sum(errors) if errors else None,
        wear=max(_known(health.wear for health in healths), default=None),
        spare=min(_known(health.spare for health in healths), default=None),
        power_on_hours=max(_known(health.power_on_hours for health in healths), default=None),
        predicted=any(verdicts) if verdicts else None,
        reasons=tuple(f"{name}: {reason}" for name, health in found for reason in health.reasons),
    )


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


class _Said:
    """A document of unknown shape: what is not there, or of another type, is None."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def get(self, *path: str) -> Any:
        """Return the value at ``path``."""
        value = self._document
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *path: str, least: int = 0, most: int = _COMMON_MOST) -> int | None:
        """Return the whole number at ``path`` if it lies between the bounds."""
        value = self.get(*path)
        return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None

    def flag(self, *path: str) -> bool | None:
        """Return the truth value at ``path``."""
        value = self.get(*path)
        return value if isinstance(value, bool) else None

    def text(self, *path: str) -> str:
        """Return the text at ``path``; empty if there is none."""
        value = self.get(*path)
        return value[:128] if isinstance(value, str) else ""

    def rows(self, *path: str) -> "list[_Said]":
        """Return the objects in the list at ``path``."""
        value = self.get(*path)
        return [_Said(row) for row in value if isinstance(row, dict)] if isinstance(value, list) else []

    def attribute(self, number: int) -> int | None:
        """Return the raw value of an ATA attribute, as smartctl's database reads it: its first number."""
        for row in self.rows("ata_smart_attributes", "table"):
            if row.number("id") == number:
                digits = row.text("raw", "string").split(" ")[0]
                return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None
        return None

    def normalised(self, names: frozenset[str]) -> int | None:
        """Return the normalised value of the first ATA attribute of these names."""
        for row in self.rows("ata_smart_attributes", "table"):
            if row.text("name") in names:
                return row.number("value", most=100)
        return None

    def statistic(self, page: int, offset: int) -> int | None:
        """Return an entry of the ATA device statistics, if the disk says that it is valid."""
        for table in self.rows("ata_device_statistics", "pages"):
            for row in table.rows("table") if table.number("number") == page else []:
                if row.number("offset") == offset and row.flag("flags", "valid"):
                    return row.number("value")
        return None


def _temperature(said: _Said) -> int | None:
    """SCSI disks without the log page, and virtual NVMe ones, are shown with 0 or absolute zero."""
    value = said.number("temperature", "current", least=-60, most=200)
    return None if value == 0 and said.text("device", "protocol") == "SCSI" else value


def _media_errors(said: _Said) -> int | None:
    nvme = said.number("nvme_smart_health_information_log", "media_errors")
    if nvme is not None:
        return nvme
    counters = [
        said.number("scsi_error_counter_log", kind, "total_uncorrected_errors") for kind in ("read", "write", "verify")
    ]
    if known := _known(counters):
        return sum(known)
    statistic = said.statistic(4, 8)
    found = _known([statistic, *(said.attribute(number) for number in _UNCORRECTED_ATTRIBUTES)])
    return found[0] if found else None


def _wear(said: _Said) -> int | None:
    left = said.normalised(_WEAR_ATTRIBUTES)
    told = (
        said.number("nvme_smart_health_information_log", "percentage_used", most=255),
        said.number("scsi_percentage_used_endurance_indicator", most=255),
        said.statistic(7, 8),
        None if left is None else 100 - left,
    )
    return next((value for value in told if value is not None and value <= 255), None)


def _spare(said: _Said) -> int | None:
    """A disk that has neither spare blocks nor a threshold for them does not count them."""
    spare = said.number("nvme_smart_health_information_log", "available_spare", most=100)
    if spare is None:
        return said.normalised(_SPARE_ATTRIBUTES)
    threshold = said.number("nvme_smart_health_information_log", "available_spare_threshold", most=100)
    return spare if spare or threshold else None


def _verdict(said: _Said) -> bool | None:
    """Return False if the disk says that it is well; None if it does not say."""
    told = said.number("nvme_smart_health_information_log", "critical_warning", most=255) is not None
    return False if told or said.flag("smart_status", "passed") is not None else None


def _reasons(said: _Said, status: int) -> Iterable[str]:
    """Say why the disk is expected to fail."""
    warning = said.number("nvme_smart_health_information_log", "critical_warning", most=255)
    if warning is not None:
        yield from (words for bit, words in _NVME_WARNINGS if warning & 1 << bit)
    elif (said.flag("smart_status", "passed") is False or _failing(said, status)) and not _hot(said):
        words = said.text("smart_status", "scsi", "ie_string")
        yield f"it says that it fails{f': {words}' if words else ''}"
    yield from _bad_attributes(said)
    wear = _wear(said)
    if wear is not None and wear >= 100:
        yield f"{wear} % of its rated endurance is used"


def _failing(said: _Said, status: int) -> bool:
    """Tell whether smartctl's exit status says so; without a device in the output, the status is about no disk."""
    return status >= 0 and bool(status & _DISK_FAILING) and said.get("device") is not None


def _hot(said: _Said) -> bool:
    return (said.number("smart_status", "scsi", "asc"), said.number("smart_status", "scsi", "ascq")) == _HEAT


def _bad_attributes(said: _Said) -> Iterable[str]:
    """Name the ATA attributes that say now that the disk will fail; old age alone is none of them."""
    for row in said.rows("ata_smart_attributes", "table"):
        if row.text("when_failed") == "now" and row.flag("flags", "prefailure"):
            yield f"attribute {row.text('name') or row.number('id')} is below its threshold"
