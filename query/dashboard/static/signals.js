// Signals: what Meta is sent, how well it can match it, and how fast it goes.

import { columns, element, figures, fill, note, table } from "./dom.js";
import { count, duration, percent, words } from "./format.js";

const NAMES = { em: "e-mail", ph: "phone", fn: "first name", ln: "last name", ct: "city", st: "state", zp: "zip", external_id: "customer id", client_ip_address: "IP address", client_user_agent: "browser", fbc: "click id (fbc)", fbp: "browser id (fbp)" };

export const load = (ask) => ask("/v1/capi");

export function render(panel, capi) {
  if (capi.reason && !capi.account) return fill(panel, note(capi.reason));
  const outcomes = Object.entries(capi.outcomes).filter(([, events]) => events);
  const quality = capi.dataset_quality;
  fill(panel,
    figures(
      ["State", words(capi.state ?? "–"), capi.paused?.message ?? capi.failing?.cause, capi.paused || capi.failing ? "bad" : "good"],
      ["Webhook to answer", capi.latency_ms.p50 == null ? "–" : `${Math.round(capi.latency_ms.p50)} ms`, capi.latency_ms.p99 == null ? null : `p99 ${Math.round(capi.latency_ms.p99)} ms`],
      ["Oldest unsent", duration(capi.oldest_unsent_s), null, capi.oldest_unsent_s > 3600 ? "warn" : null],
      quality?.event_match_quality == null ? null : ["Match quality", String(quality.event_match_quality), "of 10, by Meta"],
    ),
    columns(table("Events by outcome", [
      { name: "outcome", of: ([name]) => words(name) },
      { name: "events", number: true, of: ([, events]) => count(events) },
    ], outcomes),
    table("Share of events with each match key", [
      { name: "key", of: ([name]) => NAMES[name] ?? name },
      { name: "", of: ([name, share]) => share == null ? "–" : element("meter", { min: 0, max: 1, value: share, "aria-label": NAMES[name] ?? name }) },
      { name: "share", number: true, of: ([, share]) => percent(share) },
      { name: "with pixel", number: true, of: ([name]) => percent(capi.browser?.match_keys_with?.[name]) },
      { name: "without", number: true, of: ([name]) => percent(capi.browser?.match_keys_without?.[name]) },
    ], Object.entries(capi.match_keys))),
  );
}
