// Carts: what became of checkouts, what comes back when, and what open ones are still worth.

import { columns, element, figures, fill, note, table } from "./dom.js";
import { accent, chart, show } from "./charts.js";
import { count, duration, money, percent, words } from "./format.js";

let place = null;

export async function load(ask) {
  const [carts, open] = await Promise.all([ask("/v1/carts"), ask("/v1/carts/open", { limit: 15 })]);
  return { carts, open };
}

export function render(panel, { carts, open }) {
  if (carts.reason) return fill(panel, note(carts.reason));
  const potential = carts.recovery_potential;
  place ??= chart("Share of abandoned checkouts that became an order, by hours since");
  const rates = carts.recovery_rate.filter((rate) => rate.value != null);
  fill(panel,
    figures(
      ["Still to recover", money(potential.expected), `80 %: ${money(potential.low)} to ${money(potential.high)}`],
      ["Open", count(potential.open_carts), money(potential.open_value, { brief: true })],
      ["Abandoned", percent(carts.abandonment_rate.value), `after ${carts.abandoned_after_minutes} minutes`],
      ["Recovered", money(carts.recovered_revenue, { brief: true }), `in ${carts.kept_days} days`],
    ),
    columns(table("What became of checkouts", [
      { name: "state", of: ([name]) => words(name) },
      { name: "checkouts", number: true, of: ([, each]) => count(each.carts) },
      { name: "value", number: true, of: ([, each]) => money(each.value, { brief: true }) },
    ], Object.entries(carts.states)),
    rates.length > 1 ? element("div", {}, element("h3", {}, "Recovered within"), place) : null,
    table("Potential by value and customer", [
      { name: "value", of: (each) => each.value_band },
      { name: "customer", of: (each) => each.customer },
      { name: "open", number: true, of: (each) => count(each.open_carts) },
      { name: "worth", number: true, of: (each) => money(each.open_value, { brief: true }) },
      { name: "probability", number: true, of: (each) => percent(each.probability, 1) },
      { name: "expected", number: true, of: (each) => money(each.expected) },
    ], carts.strata),
    open.items.length ? table("Open carts worth most", [
      { name: "cart", of: (each) => each.recovery_url ? element("a", { href: each.recovery_url, rel: "noreferrer", target: "_blank" }, `${each.token.slice(0, 8)}…`) : `${each.token.slice(0, 8)}…` },
      { name: "value", number: true, of: (each) => money(each.value) },
      { name: "idle", number: true, of: (each) => duration(each.age_minutes * 60) },
      { name: "expected", number: true, of: (each) => money(each.expected) },
    ], open.items) : null),
    note(potential.note),
  );
  if (rates.length > 1) {
    show(place, [{
      type: "scatter", mode: "lines+markers", x: [0, ...rates.map((rate) => rate.within_hours)], y: [0, ...monotone(rates.map((rate) => 100 * rate.value))],
      line: { color: accent(), shape: "hv" }, hovertemplate: "within %{x} h: %{y:.1f} %<extra></extra>",
    }], { xaxis: { title: { text: "hours" } }, yaxis: { title: { text: "%" } } });
  }
}

// Each rate has a cohort of its own, so a later one may come out lower; what came back stays back.
function monotone(values) {
  let most = 0;
  return values.map((value) => (most = Math.max(most, value)));
}
