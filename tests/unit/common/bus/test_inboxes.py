from directpv_common.bus.nats_client import NatsClient


def test_who_has_seen_one_inbox_cannot_guess_the_next() -> None:
    client = NatsClient()
    seen = [client.new_inbox().rpartition(".")[2] for _ in range(100)]

    assert len({each[:12] for each in seen}) == len(seen)
    assert len({each[-12:] for each in seen}) == len(seen)
