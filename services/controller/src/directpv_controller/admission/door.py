"""The door: a node shows the token of its pod, once, and its key is known from then on."""

import asyncio
import logging

from nats.aio.msg import Msg
from nats.micro.request import ERROR_CODE_HEADER

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import reraise
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition
from directpv_common.protocol.wire import decode, encode
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.core.tokens import checked_token, node_of, pod_of
from directpv_controller.registry.kubernetes.errors import Missing

log = logging.getLogger(__name__)


class Door:
    """Registers keys."""

    def __init__(self, answers: Answers, asking: asyncio.Semaphore, keys: NodeKeys, namespace: str) -> None:
        self._answers, self._asking, self._keys, self._namespace = answers, asking, keys, namespace

    async def answer(self, message: Msg) -> None:
        """Answer one request; NATS has seen to it that who sends it has the key that its subject names."""
        key = message.subject.rsplit(".", 1)[1]
        try:
            request = decode(message.data, m.RegisterKey)
            async with self._asking:
                reply, headers = encode(await self.register(key, request.token)), None
        except Exception as error:
            known = isinstance(error, DirectPVError)
            log.log(
                logging.WARNING if known else logging.ERROR,
                "key not registered",
                extra={"key": key, "error": str(error)},
                exc_info=None if known else error,
            )
            failure = reraise(error).as_failure()
            reply, headers = encode(failure), {ERROR_CODE_HEADER: str(failure.code)}
        await message._client.publish(message.reply, reply, headers=headers)

    async def register(self, key: str, token: str) -> m.KeyRegistered:
        """Make ``key`` known as that of the node on which the pod runs that has ``token``.

        Raises:
            FailedPrecondition: Kubernetes says that the token is none of such a pod; says why.
            Conflict: The key is another node's.
            Unavailable: Kubernetes does not answer.
        """
        pod = pod_of(await self._answers.review(checked_token(token)), self._namespace)
        try:
            node = node_of(pod, await self._answers.pod(pod))
        except Missing as error:
            raise FailedPrecondition(f"pod {pod.name}, to which the token is bound, is not there any more") from error
        self._keys.check(node, key)
        await self._answers.keep(node, key)
        self._keys.put(node, key)
        log.info("key registered", extra={"node": node, "key": key})
        return m.KeyRegistered(node=node)
