"""Numbers of things, as people say them. Pure."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return how many there are, the noun in singular or plural; ``plural`` if it is not the noun with an s.

    >>> counted(1, "drive"), counted(0, "drive"), counted(1234, "process", "processes")
    ('1 drive', '0 drives', '1,234 processes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
