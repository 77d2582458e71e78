"""What `orderwire demo`, its stand-ins and chaos import, for the process that forks them. They need
rich, which roles do without."""

import sys

if sys.modules.get("rich", sys) is None:  # what `orderwire.serve.start.without_rich` leaves
    del sys.modules["rich"]

import simulator.admin.stand_in
import simulator.chaos.hostile
import simulator.chaos.run
import simulator.demo.run
import simulator.meta.rules
import simulator.servers.stand_in  # noqa: F401
