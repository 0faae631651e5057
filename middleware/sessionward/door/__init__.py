"""What both middlewares share, and the sidecar in part: the handle of a request, its short way, and their parts."""
