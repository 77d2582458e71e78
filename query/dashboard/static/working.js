// Is it working: what needs somebody, how far everything is, and whether yesterday adds up.

import { columns, element, figures, fill, note, table } from "./dom.js";
import { ago, count, day, duration, money, words } from "./format.js";

export async function load(ask) {
  const [status, destinations] = await Promise.all([ask("/v1/status"), ask("/v1/destinations")]);
  const read = ask.has("/v1/statement") ? status.statements?.[0] : null;
  return { status, destinations, statement: read ? await ask("/v1/statement", { day: read.day }) : null };
}

export function render(panel, { status, destinations, statement }, state, { ask, again }) {
  const alerts = state.live?.alerts ?? [];
  const accounts = destinations.items;
  const lag = status.processors.reduce((sum, each) => sum + (each.lag_records ?? 0), 0);
  const pending = accounts.reduce((sum, each) => sum + each.outcomes.pending + each.outcomes.sending, 0);
  const oldest = Math.max(...accounts.map((each) => each.oldest_unsent_s ?? 0), 0);
  const waiting = status.spool.records;
  fill(panel,
    alerts.length
      ? element("div", { role: "alert" }, element("ul", { class: "alerts" }, alerts.map((alert) =>
          element("li", { class: alert.severity === "critical" ? "bad" : "warn" }, alert.message, element("span", {}, alert.action)))))
      : element("p", { class: "verdict good" }, "Everything is at work."),
    figures(
      ["Records behind", count(lag), null, lag > 1000 ? "warn" : null],
      ["Events to send", count(pending), pending ? `oldest ${duration(oldest)}` : "none waits"],
      ["Set aside", count(status.parked.records), Object.keys(status.parked.by_reason).slice(0, 2).map(words).join(", ") || "could not be read", status.parked.records ? "warn" : null],
      waiting ? ["In the spool", count(waiting), `oldest ${duration(status.spool.oldest_s)}`, "warn"] : null,
    ),
    adds(statement),
    columns(
      accounts.length ? table("Destinations", [
        { name: "account", of: (each) => [each.name, each.paused ? element("small", { class: "bad" }, each.paused.message) : null] },
        { name: "state", of: (each) => words(each.state ?? "–"), tone: (each) => ({ paused: "bad", failing: "bad", throttled: "warn", sending: "good" })[each.state] },
        { name: "sent", number: true, of: (each) => count(each.outcomes.sent) },
        { name: "waiting", number: true, of: (each) => count(each.outcomes.pending + each.outcomes.sending) },
        { name: "dead", number: true, of: (each) => each.outcomes.dead
          ? element("button", { type: "button", "data-key": `retry-${each.name}`, title: "Sends again what was refused for good: mend the reason first.", onclick: () => retry(each.name) }, `Retry ${count(each.outcomes.dead)}`) : "0" },
      ], accounts) : note("No account receives anything. Set `META_PIXEL_ID` and `META_ACCESS_TOKEN`."),
      status.deliveries?.length
        ? table("Last webhook by topic", [
            { name: "topic", of: (each) => each.topic },
            { name: "last", number: true, of: (each) => ago(each.last) },
            { name: "today", number: true, of: (each) => count(each.today) },
          ], status.deliveries)
        : note("No webhook has arrived yet. `orderwire subscribe` asks Shopify for them."),
    ),
  );

  async function retry(name) {
    await ask(`/v1/destinations/${encodeURIComponent(name)}/retry`, {}, { method: "POST" });
    again();
  }
}

// Every order that Shopify has of yesterday is somewhere.
function adds(statement) {
  if (!statement) return note("Whether every order arrived is known once Shopify was asked: set `SHOPIFY_ADMIN_TOKEN`, or run `orderwire reconcile --statement DAY`.");
  const sum = (part) => statement.items.reduce((total, each) => total + each[part].orders, 0);
  const skipped = statement.items.reduce((total, each) => total + Object.values(each.skipped).reduce((all, part) => all + part.orders, 0), 0);
  const missing = sum("missing"), dead = sum("dead"), waiting = sum("waiting"), maybe = sum("maybe_accepted");
  const parts = [
    ["sent", sum("sent")], ["not to be sent", skipped], ["answer lost", maybe], ["waiting", waiting], ["refused", dead], ["missing", missing],
  ].filter(([name, orders]) => orders || name === "sent" || name === "missing");
  return element("p", { class: missing || dead ? "statement warn" : "statement", id: "statement" },
    element("b", {}, `${day(statement.day)}: ${count(sum("shopify"))} orders in Shopify`),
    ` = ${parts.map(([name, orders]) => `${count(orders)} ${name}`).join(" + ")}`,
    statement.exact ? null : element("small", {}, statement.reason));
}
