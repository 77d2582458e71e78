// Today against the same weekday a week ago, and the newest orders.

import { element, figures, fill, note, table } from "./dom.js";
import { accent, chart, show, slot } from "./charts.js";
import { clock, count, money, words } from "./format.js";

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
  const weekday = new Date(`${today}T12:00:00Z`).toLocaleDateString(undefined, { weekday: "long", timeZone: "UTC" });
  const against = (value) => (then ? `${value(then)} last ${weekday}` : null);
  const several = days?.items.length > 1;
  place ??= chart("Revenue by day");
  fill(panel,
    now
      ? figures(
          ["Revenue", money(now.revenue), against((each) => money(each.revenue, { brief: true })), "large"],
          ["Orders", count(now.orders), against((each) => count(each.orders)), "large"],
          ["Value sent to Meta", money(now.value_sent), sentBeside(now)],
          ["New customers", count(now.new_customers), against((each) => count(each.new_customers))],
          ["Returning", money(now.returning_revenue), against((each) => money(each.returning_revenue, { brief: true }))],
          now.spend ? ["Ad spend", money(now.spend), now.roas == null ? null : `ROAS ${now.roas.toFixed(2)}`] : null,
        )
      : note("No order yet today. The first webhook fills this panel by itself."),
    several ? element("div", {}, element("h3", {}, `Revenue by day, ${days.items[0].revenue?.currency_code ?? ""}`), slot(place)) : null,
    state.orders.length
      ? table("Newest orders", [
          { name: "order", of: (order) => order.name || order.order_id },
          { name: "status", of: (order) => (order.cancelled ? "cancelled" : words(order.financial_status)) },
          { name: "total", number: true, of: (order) => money(order.total) },
          { name: "received", number: true, of: (order) => clock(order.received_at) },
        ], [...state.orders].reverse().slice(0, 8))
      : note("Orders show here as their webhooks arrive."),
  );
  if (several) {
    const amounts = days.items.map((each) => Number(each.revenue?.amount ?? 0));
    show(place, [{
      type: "bar", x: days.items.map((each) => each.day), y: amounts,
      marker: { color: accent() }, hovertemplate: "%{x|%a %e %b}: %{y:,.2f}<extra></extra>",
    }], { xaxis: { tickformat: "%e %b", nticks: 6 }, yaxis: { nticks: 5, tickformat: "~s" }, bargap: 0.25 });
  }
}

// Beside it what the shop has now: cancelled orders were sent, and count no longer.
function sentBeside(now) {
  return now.sent == null ? null : `${count(now.sent)} events; Shopify has ${money(now.revenue)}`;
}
