"""What drives are called: by node and device, or by their id while no device carries them. Pure."""

import directpv_common.protocol.messages as m


def title(record: m.DriveRecord) -> str:
    """Return what people call a drive; one that is away by its id, with the name that its device had last.

    >>> record = m.DriveRecord(fsuuid="6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", node="n1", total=1, overhead=0)
    >>> import msgspec
    >>> title(msgspec.structs.replace(record, device="sdb")), title(msgspec.structs.replace(record, last_device="sdb"))
    ('n1/sdb', 'n1/6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10 (was sdb)')
    """
    if record.device:
        return f"{record.node}/{record.device}"
    return f"{record.node}/{record.fsuuid}{f' (was {record.last_device})' if record.last_device else ''}"


def device_cell(record: m.DriveRecord) -> str:
    """Return the name of a drive's device for a table: in parentheses if it is the one that it had last."""
    return record.device or (f"({record.last_device})" if record.last_device else "")


def device_words(record: m.DriveRecord) -> str:
    """Return the name of a drive's device in words."""
    if record.device or not record.last_device:
        return record.device or "no device"
    return f"no device, last {record.last_device}"
