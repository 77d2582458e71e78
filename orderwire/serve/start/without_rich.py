"""Keeps rich out of a role's process. structlog loads it for tracebacks in colour where it finds it
(the command line brings it along), and it takes 5 MB; the roles print their own tracebacks."""

import sys

sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # so importing it raises ImportError
