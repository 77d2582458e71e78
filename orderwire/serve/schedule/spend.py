"""The job `spend`: Meta's Insights every hour, for shops with an ad account."""

from orderwire.operation.spend.spend_pull import access, pull
from orderwire.serve.schedule.job import Done, Job, Turn
from orderwire.serve.schedule.services import Services
from orderwire.settings.program import Settings

EVERY_S = 3_600.0
NAME = "spend"


def job(settings: Settings, services: Services) -> Job:
    """For every shop that says how."""
    reading = {
        domain: how for domain, shop in settings.shops.items() if (how := access(shop)) is not None
    }

    def run(turn: Turn) -> Done:
        from ingest.meta.graph import Graph, GraphCallStopped, Throttled

        how, account_id = reading[turn.shop]
        graph = Graph(how, account_id, turn.stop.wait)
        try:
            done = pull(
                settings.shops[turn.shop], graph, services.store, services.append, turn.now_ms
            )
        except GraphCallStopped:
            return Done("stopped half-way", next_in_s=0)
        except Throttled as error:
            return Done(str(error), next_in_s=error.after_s)
        return Done(done.note)

    return Job(NAME, EVERY_S, run, frozenset(reading))
