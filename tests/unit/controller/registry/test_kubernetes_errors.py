"""What the API server's silence is called."""

import pytest

from directpv_controller.registry.kubernetes.apiserver.errors import Unclear, ours


@pytest.mark.parametrize(("error", "said"), [(TimeoutError(), "TimeoutError"), (OSError("cut"), "cut")])
def test_a_request_without_an_answer_says_what_happened_even_if_the_error_has_no_text(
    error: OSError, said: str
) -> None:
    with pytest.raises(Unclear, match=f"^GET leases: {said}$"), ours("GET leases"):
        raise error
