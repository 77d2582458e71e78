// Budget: what each campaign returns, and what to spend on it tomorrow.

import { element, figures, fill, note, table } from "./dom.js";
import { count, money, percent, ratio, words } from "./format.js";

export const load = (ask, state) => ask("/v1/budget", { days: Math.min(state.days, 366) });

export function render(panel, budget) {
  if (!budget.campaigns.length) {
    return fill(panel, note("No ad spend is known. `orderwire spend pull` asks Meta, `orderwire spend import FILE` reads an export."));
  }
  const total = budget.total;
  fill(panel,
    figures(
      ["Spend", money(total.spend, { brief: true }), `${budget.days} days`],
      ["ROAS, all orders", ratio(total.roas), total.attributed.roas == null ? null : `campaigns ${ratio(total.attributed.roas)}`],
      ["Budget now", money(total.current_budget)],
      ["Tomorrow", money(total.recommended_budget), budget.bankroll_per_day ? `of ${money(budget.bankroll_per_day)}` : "AD_BANKROLL is not set"],
    ),
    budget.reasons.map((reason) => note(reason, "warn")),
    table("Campaigns", [
      { name: "campaign", of: (each) => [each.name || each.campaign_id, element("small", { class: "quiet" }, ` ${each.channel}`)].reduce((span, part) => { span.append(part); return span; }, element("span")) },
      { name: "spend", number: true, of: (each) => money(each.spend, { brief: true }) },
      { name: "orders", number: true, of: (each) => count(each.orders) },
      { name: "ROAS", number: true, of: (each) => ratio(each.roas) },
      { name: "return a day", number: true, of: (each) => band(each.daily_return) },
      { name: "now", number: true, of: (each) => money(each.current_budget) },
      { name: "tomorrow", number: true, of: (each) => money(each.recommended_budget) },
      { name: "target", number: true, of: (each) => money(each.target_budget) },
      { name: "why", wide: true, of: (each) => [each.why ?? each.reason ?? words(each.binding_constraint ?? ""), ...each.issues.map((issue) => issue.message ?? issue)].filter(Boolean).join(" · ") },
    ], budget.campaigns),
    share(budget.unattributed, "of orders have no link that says where they came from"),
    share(budget.meta_unassigned, "of orders came by a Meta ad whose link names no campaign: add utm_id={{campaign.id}} to its URL parameters"),
  );
}

function band(each) {
  if (each?.mean == null) return "–";
  return each.sd == null ? percent(each.mean) : `${percent(each.mean)} ± ${percent(each.sd)}`;
}

function share(group, text) {
  return group?.share > 0.02 ? note(`${percent(group.share)} ${text}.`) : null;
}
