"""What `orderwire demo` and its stand-ins import, for the process that forks them. They need rich,
which roles do without."""

import sys

if sys.modules.get("rich", sys) is None:  # what `orderwire.serve.start.without_rich` leaves
    del sys.modules["rich"]

import simulator.admin.stand_in
import simulator.demo.run
import simulator.meta.rules
import simulator.servers.stand_in  # noqa: F401
