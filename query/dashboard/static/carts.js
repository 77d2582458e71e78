// Carts: what became of checkouts, what comes back when, and what open ones are still worth.

import { columns, element, figures, fill, note, table } from "./dom.js";
import { accent, chart, show, slot, soft } from "./charts.js";
import { count, duration, money, percent, sentence, words } from "./format.js";

let place = null;

export async function load(ask) {
  const [carts, open] = await Promise.all([ask("/v1/carts"), ask("/v1/carts/open", { limit: 12 })]);
  return { carts, open };
}

export function render(panel, { carts, open }) {
  if (carts.reason) return fill(panel, note(`${sentence(carts.reason)} \`orderwire subscribe\` asks Shopify for checkouts/*.`));
  const potential = carts.recovery_potential, curve = carts.recovery_curve;
  place ??= chart("Share of abandoned checkouts that become an order, by hours since");
  fill(panel,
    figures(
      ["Still to recover", money(potential.expected), `80 %: ${money(potential.low, { brief: true })} to ${money(potential.high, { brief: true })}`, "large"],
      ["Open", count(potential.open_carts), `worth ${money(potential.open_value, { brief: true })}`],
      ["Abandoned", percent(carts.abandonment_rate.value), carts.abandonment_rate.reason ?? `after ${carts.abandoned_after_minutes} minutes`],
      ["Recovered", money(carts.recovered_revenue, { brief: true }), `in ${carts.kept_days} days`],
    ),
    columns(
      funnel(carts),
      curve.length > 1 ? element("div", {}, element("h3", {}, "Abandoned now, ordered within"), slot(place)) : null,
      table("Potential by value and customer", [
        { name: "value", of: (each) => each.value_band },
        { name: "customer", of: (each) => each.customer },
        { name: "open", number: true, of: (each) => count(each.open_carts) },
        { name: "worth", number: true, of: (each) => money(each.open_value, { brief: true }) },
        { name: "chance", number: true, of: (each) => percent(each.probability, 1) },
        { name: "expected", number: true, of: (each) => money(each.expected, { brief: true }) },
        { name: "80 %", number: true, of: (each) => (each.open_carts ? `${money(each.low, { brief: true })} – ${money(each.high, { brief: true })}` : "–") },
      ], carts.strata),
      open.items.length ? table("Open carts by expected value", [
        { name: "cart", of: (each) => (each.recovery_url ? element("a", { href: each.recovery_url, rel: "noreferrer", target: "_blank" }, each.token.slice(0, 8)) : each.token.slice(0, 8)) },
        { name: "value", number: true, of: (each) => money(each.value) },
        { name: "idle", number: true, of: (each) => duration(each.age_minutes * 60) },
        { name: "chance", number: true, of: (each) => percent(each.probability, 1) },
        { name: "expected", number: true, of: (each) => money(each.expected) },
      ], open.items) : note("No cart is open.")),
    note(sentence(potential.note)),
  );
  if (curve.length > 1) {
    show(place, [{
      type: "scatter", mode: "lines", x: curve.map((point) => point.hours), y: curve.map((point) => point.share), fill: "tozeroy", fillcolor: soft(),
      line: { color: accent() }, hovertemplate: "within %{x:.0f} h: %{y:.1%}<extra></extra>",
    }], { xaxis: { title: { text: "hours" }, nticks: 8 }, yaxis: { tickformat: ".0%", nticks: 5 } });
  }
}

// From carts begun to orders; each bar is a share of the first.
function funnel(carts) {
  const states = carts.states, of = (...names) => names.reduce((sum, name) => sum + states[name].carts, 0);
  const checkouts = of("active", "abandoned", "recovered_direct", "recovered_assisted", "completed", "expired");
  const steps = [
    carts.online_carts ? ["Carts begun", Math.max(carts.online_carts.begun, checkouts)] : null,
    ["Checkouts begun", checkouts],
    ["Ordered", of("completed", "recovered_direct", "recovered_assisted")],
    ["of them after being abandoned", of("recovered_direct", "recovered_assisted")],
  ].filter(Boolean);
  const most = Math.max(1, steps[0][1]);
  return table(`What became of carts, ${carts.kept_days} days`, [
    { name: "step", of: ([name]) => name },
    { name: "", bar: true, of: ([name, number]) => element("meter", { min: 0, max: 1, value: number / most, "aria-label": name }) },
    { name: "carts", number: true, of: ([, number]) => count(number) },
    { name: "share", number: true, of: ([, number]) => percent(number / most) },
  ], steps);
}
