from sessionward.testing.backend import BackendContract as Contract  # noqa
