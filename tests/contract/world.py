from sessionward.backends.memory import MemoryBackend
from sessionward.testing.world import *  # noqa
from sessionward.testing.world import LoginWorld as SignsInWorld  # noqa
from tests.contract.memory import MemoryWorld  # noqa
