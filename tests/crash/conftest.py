"""Stacks of these tests are mounted where no other test sees them."""

from support.mounts import own_mounts  # noqa: F401 - a fixture
