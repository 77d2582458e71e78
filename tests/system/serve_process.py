"""`orderwire serve` as tests start it, and the mark of tests that look for its roles."""

import pytest

from simulator.servers.serve import LINUX, PATIENCE_S, Serve

__all__ = ["PATIENCE_S", "Serve", "needs_proc"]

needs_proc = pytest.mark.skipif(not LINUX, reason="finds serve's processes in /proc")
