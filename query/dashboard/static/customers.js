// Customers: the RFM map in money, segments and their moves, cohorts, lifetime value.

import { columns, element, figures, fill, note, table } from "./dom.js";
import { count, day, money, percent, words } from "./format.js";

const SLOW_MS = 30000; // Moves and cohorts are of weeks and months, and cost more than the rest.
let chosen = null;
const slow = { since: -Infinity, moves: null, cohorts: null, error: null };

// The last answers, if any: the panel does not wait for new ones, but is drawn again with them.
function slowly(ask, again) {
  if (slow.error) {
    const error = slow.error;
    Object.assign(slow, { since: -Infinity, error: null });
    throw error;
  }
  if (Date.now() - slow.since > SLOW_MS) {
    slow.since = Date.now();
    for (const name of ["moves", "cohorts"]) {
      const path = `/v1/rfm/${name}`;
      if (ask.has(path)) ask(path).then((answer) => { slow[name] = answer; }, (error) => { slow.error = error; }).then(again);
    }
  }
  return slow;
}

export async function load(ask, state, again) {
  const { moves, cohorts } = slowly(ask, again);
  const [rfm, listed] = await Promise.all([
    ask("/v1/rfm"),
    chosen ? ask("/v1/rfm/customers", { r: chosen.r, fm: chosen.fm, sort: "monetary", limit: 20 }) : null,
  ]);
  return { rfm, moves, cohorts, listed, of: chosen };
}

export function render(panel, { rfm, moves, cohorts, listed, of }, state, { again }) {
  if (!rfm.customers.ever) {
    return fill(panel, note("No customer is known yet. The first order fills this panel; `orderwire backfill` brings the past."));
  }
  const simple = rfm.ltv_simple, predicted = rfm.ltv_predicted;
  const choose = (box) => {
    chosen = chosen?.r === box.r && chosen?.fm === box.fm ? null : box;
    again();
  };
  fill(panel,
    figures(
      ["Customers", count(rfm.customers.in_window), `of ${count(rfm.customers.ever)} ever`],
      ["Revenue", money(rfm.revenue, { brief: true }), `${count(rfm.orders)} orders in ${rfm.window_days} days`],
      ["Lifetime value, simple", simple ? money(simple.capped.ltv) : "–", simple ? `${simple.average_frequency.toFixed(2)} orders of ${money(simple.average_order_value)} each` : rfm.reason],
      ["Lifetime value, predicted", money(predicted.ltv), predicted.reason ?? `in ${predicted.horizon_days} days`],
      ["Order again", percent(cohorts?.repeat_rate), cohorts?.days_between_orders == null ? null : `every ${Math.round(cohorts.days_between_orders)} days`],
      ["Lost", percent(rfm.churn.rate), `no order for ${rfm.churn.after_days} days`],
    ),
    note(rfm.reason),
    rfm.grid ? heat(rfm, choose) : null,
    listed ? table(`R ${of.r}, FM ${of.fm}: ${words(of.segment)}, by revenue`, [
      { name: "customer", of: (each) => (each.guest ? `guest ${each.id.slice(2, 10)}` : each.id) },
      { name: "last order", of: (each) => day(each.last_order_day) },
      { name: "orders", number: true, of: (each) => count(each.frequency) },
      { name: "revenue", number: true, of: (each) => money(each.monetary) },
      { name: "expected in a year", number: true, of: (each) => money(each.ltv_predicted?.value) },
    ], listed.items) : null,
    columns(rfm.segments ? table("Segments", [
      { name: "segment", of: (each) => words(each.segment) },
      { name: "customers", number: true, of: (each) => count(each.customers) },
      { name: "share", number: true, of: (each) => percent(each.share) },
      { name: "revenue", number: true, of: (each) => money(each.revenue, { brief: true }) },
      { name: "of revenue", number: true, of: (each) => percent(each.revenue_share) },
    ], rfm.segments) : null,
    moves?.items.length ? table("Moves between segments in the last week", [
      { name: "from", of: (each) => words(each.from ?? "none") },
      { name: "to", of: (each) => words(each.to ?? "none") },
      { name: "customers", number: true, of: (each) => count(each.customers) },
      { name: "revenue", number: true, of: (each) => money(each.revenue, { brief: true }) },
    ], moves.items.slice(0, 11)) : note(moves?.reason)),
    cohorts?.items.length ? retention(cohorts) : null,
  );
}

const MONTHS = 6;

function retention(cohorts) {
  const month = (each) => new Date(`${each.cohort}-15T12:00:00Z`).toLocaleDateString(undefined, { month: "short", year: "numeric" });
  const longest = Math.max(...cohorts.items.map((each) => each.retention.length)) - 1;
  const costs = cohorts.items.some((each) => each.cac);
  return table("Cohorts by month of the first order: share that ordered in each month after it", [
    { name: "month", of: month, tone: () => "month" },
    { name: "customers", number: true, of: (each) => count(each.customers) },
    ...Array.from({ length: Math.max(0, Math.min(MONTHS, longest)) }, (_, at) =>
      ({ name: `+${at + 1}`, number: true, of: (each) => each.retention[at + 1] == null ? "" : percent(each.retention[at + 1]), heat: (each) => each.retention[at + 1] })),
    { name: `revenue each, ${cohorts.currency}`, number: true, of: (each) => each.revenue_per_customer.at(-1) ?? "–" },
    ...(costs ? [
      { name: "CAC", number: true, of: (each) => money(each.cac) },
      { name: "LTV : CAC", number: true, of: (each) => (each.ltv_to_cac == null ? "–" : each.ltv_to_cac.toFixed(2)) },
      { name: "paid back in", number: true, of: (each) => (each.payback_months == null ? "–" : `${each.payback_months} months`) },
    ] : []),
  ], cohorts.items.slice(0, 12));
}

function heat(rfm, choose) {
  const most = Math.max(1, ...rfm.grid.map((box) => Number(box.revenue.amount)));
  const box = (r, fm) => rfm.grid.find((each) => each.r === r && each.fm === fm);
  const scores = [5, 4, 3, 2, 1];
  const row = (r) => element("tr", {}, element("th", { scope: "row" }, `R ${r}`), scores.map((fm) => {
    const each = box(r, fm);
    const level = each.customers ? Math.min(4, Math.floor(5 * Math.sqrt(Number(each.revenue.amount) / most))) : 0;
    return element("td", {}, element("button", {
      type: "button", class: `h${level}`, "data-key": `box-${r}-${fm}`, "aria-pressed": String(chosen?.r === r && chosen?.fm === fm),
      "aria-label": `R ${r}, FM ${fm}: ${money(each.revenue, { brief: true })} of ${count(each.customers)} customers, ${words(each.segment)}`, onclick: () => choose(each),
    }, element("b", {}, money(each.revenue, { brief: true })), element("span", {}, count(each.customers)), element("span", { class: "segment" }, words(each.segment))));
  }));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Customers by recency, frequency and money" },
    element("table", { class: "heat" },
      element("caption", {}, "Revenue and customers by recency (R, down) and frequency and money (FM, across); 5 is best. A cell lists its customers."),
      element("thead", {}, element("tr", {}, element("td"), scores.map((fm) => element("th", { scope: "col" }, `FM ${fm}`)))),
      element("tbody", {}, scores.map(row))));
}
