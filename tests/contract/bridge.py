from sessionward.testing.bridge import *  # noqa
from sessionward.testing.bridge import PATIENCE, Bridged, Loop, together  # noqa
