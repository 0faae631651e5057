from sessionward.testing.companions import *  # noqa
