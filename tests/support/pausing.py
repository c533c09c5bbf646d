"""How long a test pauses between two looks at what it waits for."""

from typing import Final

SHORTEST: Final = 0.02
LONGEST: Final = 0.3
TIMES: Final = 3.0


def pause(took: float) -> float:
    """Return seconds until the next look, three times as long as the last one took.

    What is waited for needs the processors, too: a look that costs nothing, at a list in memory, is repeated at once;
    one that asks an agent, or an API server, leaves three quarters of the time to it.
    """
    return min(max(SHORTEST, TIMES * took), LONGEST)
