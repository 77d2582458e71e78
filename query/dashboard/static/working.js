// Is it working: what needs somebody, and how far everything is.

import { element, figures, fill, note, table } from "./dom.js";
import { ago, count, duration, words } from "./format.js";

export async function load(ask, state) {
  const [status, destinations] = await Promise.all([ask("/v1/status"), ask("/v1/destinations")]);
  return { status, destinations };
}

export function render(panel, { status, destinations }, state, { ask, again }) {
  const alerts = state.live?.alerts ?? [];
  const dead = destinations.items.filter((account) => account.outcomes.dead > 0);
  const lag = status.processors.reduce((sum, each) => sum + (each.lag_records ?? 0), 0);
  fill(panel,
    alerts.length
      ? element("div", { role: "alert" }, element("ul", { class: "alerts" }, alerts.map((alert) =>
          element("li", { class: alert.severity === "critical" ? "bad" : "warn" }, alert.message, element("span", {}, alert.action)))))
      : note("Everything is at work.", "good"),
    figures(
      ["Records waiting", count(lag), null, lag > 1000 ? "warn" : null],
      ["Parked", count(status.parked.records), Object.keys(status.parked.by_reason).slice(0, 2).map(words).join(", ") || null, status.parked.records ? "warn" : null],
      ["Spool", count(status.spool.records), status.spool.oldest_s == null ? null : `oldest ${duration(status.spool.oldest_s)}`],
      ["Roles", count(status.roles.filter((role) => role.alive).length), `of ${status.roles.length} alive`],
    ),
    table("Destinations", [
      { name: "account", of: (each) => each.name },
      { name: "state", of: (each) => words(each.state ?? "–") },
      { name: "sent", number: true, of: (each) => count(each.outcomes.sent) },
      { name: "pending", number: true, of: (each) => count(each.outcomes.pending) },
      { name: "oldest", number: true, of: (each) => duration(each.oldest_unsent_s) },
      { name: "dead", number: true, of: (each) => count(each.outcomes.dead) },
      { name: "", of: (each) => each.outcomes.dead ? element("button", { type: "button", "data-key": `retry-${each.name}`, onclick: () => retry(each.name) }, `Retry ${count(each.outcomes.dead)}`) : "" },
    ], destinations.items),
    dead.length ? note("A retry sends again what was refused for good: mend the reason first.") : null,
    status.deliveries?.length
      ? table("Last webhook by topic", [
          { name: "topic", of: (each) => each.topic },
          { name: "last", number: true, of: (each) => ago(each.last) },
          { name: "today", number: true, of: (each) => count(each.today) },
        ], status.deliveries)
      : note("No webhook has arrived yet. `orderwire subscribe` asks Shopify for them."),
  );

  async function retry(name) {
    await ask(`/v1/destinations/${encodeURIComponent(name)}/retry`, {}, { method: "POST" });
    again();
  }
}
