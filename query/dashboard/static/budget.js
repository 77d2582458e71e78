// Budget: what each campaign returns, and what to spend on it tomorrow.

import { element, figures, fill, note, table } from "./dom.js";
import { count, money, percent, ratio, sentence, words } from "./format.js";

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
      ["Budget now", money(total.current_budget), "a day"],
      ["Tomorrow", money(total.recommended_budget), total.reason ?? (budget.bankroll_per_day ? `of ${money(budget.bankroll_per_day)} at most` : "AD_BANKROLL is not set"), "large"],
    ),
    budget.reasons.map((reason) => note(sentence(reason), "warn")),
    table("Campaigns", [
      { name: "campaign", wide: true, of: (each) => [each.name || each.campaign_id, element("small", { class: "quiet" }, each.channel)] },
      { name: "spend", number: true, of: (each) => money(each.spend, { brief: true }) },
      { name: "ROAS", number: true, of: (each) => ratio(each.roas) },
      { name: "return a day", of: (each) => band(each.daily_return) },
      { name: "now → tomorrow → target", number: true, of: (each) => steps(each) },
      { name: "why", wide: true, of: (each) => [each.why ?? each.reason ?? words(each.binding_constraint ?? ""), ...each.issues.map((issue) => issue.message ?? issue)].filter(Boolean).map(sentence).join(" ") },
    ], budget.campaigns),
    share(budget.unattributed, "of orders have no link that says where they came from"),
    share(budget.meta_unassigned, "of orders came by a Meta ad whose link names no campaign: add utm_id={{campaign.id}} to its URL parameters"),
  );
}

function steps(each) {
  if (each.current_budget == null && each.recommended_budget == null) return "–";
  const change = Number(each.recommended_budget?.amount ?? 0) - Number(each.current_budget?.amount ?? 0);
  const tone = each.recommended_budget == null || !change ? null : change > 0 ? "good" : "bad";
  return element("span", {}, money(each.current_budget), " → ", element("b", { class: tone }, money(each.recommended_budget)), ` → ${money(each.target_budget)}`);
}

// The mean daily return with what 80 % of days are like where days are normal: 1.28 deviations.
const BAND = 1.28;
const SPAN = 3; // The bar shows -100 % to +200 %.

function band(each) {
  if (each?.mean == null) return element("span", { class: "quiet" }, each?.reason ?? "–");
  if (each.sd == null) return percent(each.mean);
  const at = (value) => 100 * Math.min(1, Math.max(0, (value + 1) / SPAN));
  const low = each.mean - BAND * each.sd, high = each.mean + BAND * each.sd;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("class", "band");
  svg.setAttribute("aria-hidden", "true");
  const part = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    svg.append(made);
  };
  part("line", { x1: at(0), x2: at(0), y1: 0, y2: 10, class: "zero" });
  part("rect", { x: at(low), width: Math.max(1, at(high) - at(low)), y: 3.5, height: 3, rx: 1.5, class: "spread" });
  part("circle", { cx: at(each.mean), cy: 5, r: 3, class: "mean" });
  return element("span", { class: "return" }, svg, element("small", {}, `${percent(each.mean)} (${percent(low)} to ${percent(high)})`));
}

function share(group, text) {
  return group?.share > 0.02 ? note(`${percent(group.share)} ${text}.`) : null;
}
