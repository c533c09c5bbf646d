"""What goes over the wire and into records; data only, no I/O. Shapes, bounds and units stand at each field."""

from directpv_common.protocol.messages.base import *  # noqa: F403
from directpv_common.protocol.messages.drives import *  # noqa: F403
from directpv_common.protocol.messages.health import *  # noqa: F403
from directpv_common.protocol.messages.moving import *  # noqa: F403
from directpv_common.protocol.messages.nodes import *  # noqa: F403
from directpv_common.protocol.messages.placing import *  # noqa: F403
from directpv_common.protocol.messages.retiring import *  # noqa: F403
from directpv_common.protocol.messages.volumes import *  # noqa: F403
