"""The door: a node shows the token of its pod, once, and its key is known from then on."""

import logging
import time
from typing import Final

from nats.aio.msg import Msg
from nats.micro.request import ERROR_CODE_HEADER

import directpv_common.protocol.messages as m
from directpv_common.access.patience import DOOR_SECONDS
from directpv_common.bus.bus import reraise
from directpv_common.calls.pace import Pace
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import Busy, DirectPVError, FailedPrecondition, Unavailable
from directpv_common.protocol.wire import decode, encode
from directpv_controller.admission.answers import Answers, Take
from directpv_controller.admission.asking import Asking, Crowd
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.core.tokens import checked_token, node_of, pod_of
from directpv_controller.registry.kubernetes.apiserver.errors import Missing

log = logging.getLogger(__name__)

AT_ONCE: Final = 10
EACH_SECOND: Final = 1.0
"""Requests of one key; of more nothing is heard."""


class Door:
    """Registers keys."""

    def __init__(self, answers: Answers, keys: NodeKeys, namespace: str, take: Take) -> None:
        self._answers, self._keys, self._namespace, self._take = answers, keys, namespace, take
        self._waiting = Asking(Crowd(256, 1, at_once=8))
        self._pace = Pace(AT_ONCE, EACH_SECOND)

    async def heard(self, message: Msg) -> None:
        """Take one request; NATS has seen to it that who sends it has the key that its subject names."""
        key = message.subject.rsplit(".", 1)[1]
        if not self._pace.allows(key, time.monotonic()):
            return
        if not self._waiting.begin(key, self._answer(message, key)):
            await self._refuse(message, key, Busy("the controllers register other keys, or this one; repeat"))

    async def end(self) -> None:
        """Leave those alone who wait; they ask again, and another answers."""
        await self._waiting.end()

    async def _answer(self, message: Msg, key: str) -> None:
        try:
            request = decode(message.data, m.RegisterKey)
            async with timeout(DOOR_SECONDS), self._waiting.turns:
                reply = encode(await self.register(key, request.token))
        except TimeoutError:
            await self._refuse(message, key, Unavailable("Kubernetes does not say in time whose token that is; repeat"))
        except Exception as error:
            await self._refuse(message, key, error)
        else:
            await message._client.publish(message.reply, reply)

    @staticmethod
    async def _refuse(message: Msg, key: str, error: Exception) -> None:
        known = isinstance(error, DirectPVError)
        log.log(
            logging.WARNING if known else logging.ERROR,
            "key not registered",
            extra={"key": key, "error": str(error)},
            exc_info=None if known else error,
        )
        failure = reraise(error).as_failure()
        headers = {ERROR_CODE_HEADER: str(failure.code)}
        await message._client.publish(message.reply, encode(failure), headers=headers)

    async def register(self, key: str, token: str) -> m.KeyRegistered:
        """Make ``key`` known as that of the node on which the pod runs that has ``token``.

        Raises:
            FailedPrecondition: Kubernetes says that the token is none of such a pod, or that pod has registered
                another key; says why.
            Conflict: The key is another node's.
            Unavailable: Kubernetes does not answer.
        """
        pod = pod_of(await self._answers.review(checked_token(token)), self._namespace)
        try:
            node = node_of(pod, await self._answers.pod(pod))
        except Missing as error:
            raise FailedPrecondition(f"pod {pod.name}, to which the token is bound, is not there any more") from error
        self._keys.check(node, key)
        await self._answers.keep(node, key, pod.uid)
        self._take(node, key)
        log.info("key registered", extra={"node": node, "key": key})
        return m.KeyRegistered(node=node)
