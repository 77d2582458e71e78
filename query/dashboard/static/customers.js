// Customers: the 5x5 map of recency by frequency and money, segments, lifetime value, cohorts.

import { columns, element, figures, fill, note, table } from "./dom.js";
import { count, money, percent, words } from "./format.js";

let chosen = null;

export async function load(ask) {
  const [rfm, moves, cohorts, listed] = await Promise.all([
    ask("/v1/rfm"),
    ask.has("/v1/rfm/moves") ? ask("/v1/rfm/moves") : null,
    ask.has("/v1/rfm/cohorts") ? ask("/v1/rfm/cohorts") : null,
    chosen ? ask("/v1/rfm/customers", { segment: chosen, sort: "monetary", limit: 20 }) : null,
  ]);
  return { rfm, moves, cohorts, listed };
}

export function render(panel, { rfm, moves, cohorts, listed }, state, { again }) {
  const simple = rfm.ltv_simple, predicted = rfm.ltv_predicted;
  fill(panel,
    figures(
      ["Customers", count(rfm.customers.in_window), `of ${count(rfm.customers.ever)} ever`],
      ["Revenue", money(rfm.revenue, { brief: true }), `${count(rfm.orders)} orders in ${rfm.window_days} days`],
      ["Lifetime value, simple", simple ? money(simple.capped.ltv) : "–", simple?.note],
      ["Lifetime value, predicted", money(predicted.ltv), predicted.reason ?? `in ${predicted.horizon_days} days`],
      ["Lost", percent(rfm.churn.rate), `no order for ${rfm.churn.after_days} days`],
    ),
    note(rfm.reason),
    rfm.grid ? heat(rfm, (segment) => { chosen = chosen === segment ? null : segment; again(); }) : null,
    listed ? table(`Customers of the segment ${words(chosen)}, by revenue`, [
      { name: "customer", of: (each) => each.id },
      { name: "last order", of: (each) => each.last_order_day },
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
      { name: "from", of: (each) => words(each.from ?? "new") },
      { name: "to", of: (each) => words(each.to ?? "gone") },
      { name: "customers", number: true, of: (each) => count(each.customers) },
      { name: "revenue", number: true, of: (each) => money(each.revenue, { brief: true }) },
    ], moves.items.slice(0, 12)) : null),
    cohorts?.items.length ? table("Cohorts by month of the first order: share that ordered again in month 1, 2, …", [
      { name: "month", of: (each) => each.cohort },
      { name: "customers", number: true, of: (each) => count(each.customers) },
      ...Array.from({ length: Math.min(6, Math.max(...cohorts.items.map((each) => each.retention.length)) - 1) }, (_, month) =>
        ({ name: String(month + 1), number: true, of: (each) => percent(each.retention[month + 1]) })),
      { name: "revenue each", number: true, of: (each) => each.revenue_per_customer.at(-1) ?? "–" },
      { name: "CAC", number: true, of: (each) => money(each.cac) },
    ], cohorts.items.slice(-12).reverse()) : null,
  );
}

function heat(rfm, choose) {
  const most = Math.max(1, ...rfm.grid.map((box) => Number(box.revenue.amount)));
  const box = (r, fm) => rfm.grid.find((each) => each.r === r && each.fm === fm);
  const scores = [5, 4, 3, 2, 1];
  const row = (r) => element("tr", {}, element("th", { scope: "row" }, `R ${r}`), scores.map((fm) => {
    const each = box(r, fm);
    const level = Math.min(4, Math.floor(5 * Number(each.revenue.amount) / most));
    return element("td", {}, element("button", {
      type: "button", class: `h${level}`, "data-key": `box-${r}-${fm}`, "aria-pressed": String(chosen === each.segment), onclick: () => choose(each.segment),
    }, element("b", {}, money(each.revenue, { brief: true })), `${count(each.customers)} · ${words(each.segment)}`));
  }));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Customers by recency, frequency and money" },
    element("table", { class: "heat" },
      element("caption", {}, "Revenue and customers by recency (R, rows) and frequency and money (FM, columns); 5 is best. A box lists its segment's customers."),
      element("thead", {}, element("tr", {}, element("td"), scores.map((fm) => element("th", { scope: "col" }, `FM ${fm}`)))),
      element("tbody", {}, scores.map(row))));
}
