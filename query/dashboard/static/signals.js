// Signals: what Meta gets, how well it can match it, and how soon.

import { columns, element, figures, fill, note, table } from "./dom.js";
import { accent, chart, show, slot } from "./charts.js";
import { count, duration, percent, words } from "./format.js";

const NAMES = { em: "e-mail", ph: "phone", fn: "first name", ln: "last name", ct: "city", st: "state", zp: "zip", external_id: "customer id", client_ip_address: "IP address", client_user_agent: "browser", fbc: "click id (fbc)", fbp: "browser id (fbp)" };
let place = null;

export const load = (ask) => ask("/v1/capi");

export function render(panel, capi) {
  if (capi.reason && !capi.account) return fill(panel, note(capi.reason));
  const outcomes = Object.entries(capi.outcomes).filter(([, events]) => events);
  const quality = capi.dataset_quality, trend = quality?.trend ?? [];
  const score = quality?.events?.Purchase?.event_match_quality;
  const completed = capi.browser?.completed_events > 0;
  place ??= chart("Event match quality by day, of 10");
  fill(panel,
    figures(
      ["State", words(capi.state ?? "–"), capi.paused?.message ?? capi.failing?.cause, capi.paused || capi.failing ? "bad" : "good"],
      ["Match quality", score == null ? "–" : `${score} of 10`, score == null ? quality?.reason ?? "Meta has said none yet" : "Purchase, by Meta"],
      ["Webhook to answer", milliseconds(capi.latency_ms.p50), capi.latency_ms.p99 == null ? null : `95 % in ${milliseconds(capi.latency_ms.p95)}, 99 % in ${milliseconds(capi.latency_ms.p99)}`],
      ["Oldest unsent", capi.oldest_unsent_s == null ? "none" : duration(capi.oldest_unsent_s), null, capi.oldest_unsent_s > 3600 ? "warn" : null],
    ),
    columns(
      element("div", {},
        table("Events by outcome", [
          { name: "outcome", of: ([name]) => words(name) },
          { name: "events", number: true, of: ([, events]) => count(events) },
        ], outcomes),
        dedup(capi.comparison),
        capi.predicted_ltv?.wanted ? note(capi.predicted_ltv.sent ? "New customers' events carry predicted_ltv." : `predicted_ltv is not sent: ${capi.predicted_ltv.reason}.`) : null,
        trend.length > 1 ? element("div", {}, element("h3", {}, "Match quality by day"), slot(place)) : null),
      table("Share of events with each match key", [
        { name: "key", of: ([name]) => NAMES[name] ?? name },
        { name: "", bar: true, of: ([name, share]) => share == null ? "–" : element("meter", { min: 0, max: 1, value: share, "aria-label": NAMES[name] ?? name }) },
        { name: "share", number: true, of: ([, share]) => percent(share) },
        ...(completed ? [
          { name: "with pixel", number: true, of: ([name]) => percent(capi.browser.match_keys_with?.[name]) },
          { name: "without", number: true, of: ([name]) => percent(capi.browser.match_keys_without?.[name]) },
        ] : []),
      ], Object.entries(capi.match_keys))),
  );
  if (trend.length > 1) {
    show(place, [{
      type: "scatter", mode: "lines+markers", x: trend.map((each) => each.day), y: trend.map((each) => each.event_match_quality),
      line: { color: accent() }, hovertemplate: "%{x|%e %b}: %{y}<extra></extra>",
    }], { xaxis: { tickformat: "%e %b", nticks: 6 }, yaxis: { range: [0, 10], nticks: 6 } });
  }
}

const milliseconds = (value) => (value == null ? "–" : value < 1000 ? `${Math.round(value)} ms` : value < 10000 ? `${(value / 1000).toFixed(1)} s` : duration(value / 1000));

// Whether Meta recognises our Purchase and the browser's as one.
function dedup(comparison) {
  if (!comparison) return null;
  return element("div", {}, element("h3", {}, "Deduplication"), note(comparison.meaning),
    comparison.dedupe_keys.length ? table("Events that Meta recognises as the browser's, by key", [
      { name: "key", of: (each) => words(each.key) },
      { name: "browser has it", number: true, of: (each) => percent(each.browser) },
      { name: "we have it", number: true, of: (each) => percent(each.server) },
      { name: "recognised", number: true, of: (each) => percent(each.both) },
    ], comparison.dedupe_keys) : null);
}
