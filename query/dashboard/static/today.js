// Today against the same weekday a week ago, and the newest orders.

import { element, figures, fill, note, table } from "./dom.js";
import { accent, chart, show } from "./charts.js";
import { clock, count, day, money, words } from "./format.js";

const DAY_MS = 86400000;
const text = (date) => date.toISOString().slice(0, 10);
let place = null;

export async function load(ask, state) {
  const { as_of } = await ask("/v1/status");
  const today = Date.parse(`${as_of.day}T00:00:00Z`);
  const from = text(new Date(today - Math.max(state.days - 1, 7) * DAY_MS));
  const days = ask.has("/v1/days") ? await ask("/v1/days", { from, to: as_of.day }) : null;
  days?.items.sort((a, b) => a.day.localeCompare(b.day));
  return { days, today: as_of.day, week: text(new Date(today - 7 * DAY_MS)) };
}

export function render(panel, { days, today, week }, state) {
  const of = (wanted) => days?.items.find((each) => each.day === wanted);
  const now = of(today), then = of(week);
  const against = (value) => (then ? `same weekday: ${value(then)}` : null);
  place ??= chart("Revenue by day");
  fill(panel,
    now
      ? figures(
          ["Orders", count(now.orders), against((each) => count(each.orders))],
          ["Revenue", money(now.revenue), against((each) => money(each.revenue))],
          ["Sent to ads", money(now.value_sent), `${count(now.sent)} events`],
          ["New customers", count(now.new_customers), against((each) => count(each.new_customers))],
          ["Returning revenue", money(now.returning_revenue), against((each) => money(each.returning_revenue))],
          now.spend ? ["Ad spend", money(now.spend), now.roas == null ? null : `ROAS ${now.roas.toFixed(2)}`] : null,
        )
      : note("No order yet today."),
    days?.items.length > 1 ? place : null,
    state.orders.length
      ? table("Newest orders", [
          { name: "order", of: (order) => order.name || order.order_id },
          { name: "total", number: true, of: (order) => money(order.total) },
          { name: "status", of: (order) => (order.cancelled ? "cancelled" : words(order.financial_status)) },
          { name: "received", number: true, of: (order) => clock(order.received_at) },
        ], [...state.orders].reverse())
      : element("p", { class: "quiet" }, "Orders show here as their webhooks arrive."),
  );
  if (days?.items.length > 1) {
    show(place, [{
      type: "bar", x: days.items.map((each) => day(each.day)), y: days.items.map((each) => Number(each.revenue?.amount ?? 0)),
      marker: { color: accent() }, hovertemplate: "%{x}: %{y:,.2f}<extra></extra>",
    }], { yaxis: { title: { text: days.items[0].revenue?.currency_code ?? "" } }, xaxis: { nticks: 8 } });
  }
}
