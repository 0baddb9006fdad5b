"""What a user is told who asks for what cannot be."""

import pytest

from bench.errors import UserError


def refusal(call, *arguments, kind=UserError):
    """Call what must refuse, and return its reason, which is one line."""
    with pytest.raises(kind) as refused:
        call(*arguments)
    message = str(refused.value)
    assert "\n" not in message
    return message
