// Asks the API for each panel, and again when the stream says that something has changed.

import { fill, note } from "./dom.js";
import { clock } from "./format.js";
import { listen } from "./live.js";
import * as budget from "./budget.js";
import * as carts from "./carts.js";
import * as customers from "./customers.js";
import * as signals from "./signals.js";
import * as today from "./today.js";
import * as working from "./working.js";

const PANELS = { working, today, signals, customers, carts, budget };
const LEAST_MS = 250, MOST_MS = 1000; // Between two refreshes of a panel.
const SHARE = 5; // It rests this many times as long as its answers took: a busy API is asked less.
const SLOW_MS = 60000; // Time alone changes numbers, too.

const main = document.getElementById("main");
const shop = main.dataset.shop;
const period = document.getElementById("period");
const freshness = document.getElementById("freshness");
const state = { shop, live: null, orders: [], get days() { return Number(period.value); } };

export class Problem extends Error {}

export async function ask(path, query = {}, options = {}) {
  const url = new URL(path, location.origin);
  url.searchParams.set("shop", shop);
  for (const [name, value] of Object.entries(query)) if (value != null) url.searchParams.set(name, value);
  const answer = await fetch(url, { headers: { Accept: "application/json" }, ...options });
  if (answer.status === 401) location.reload();
  const body = await answer.json();
  if (!answer.ok) throw new Problem(`${body.detail}: ${body.next_step}`);
  return body;
}

const paths = new Set(main.dataset.paths.split(" "));
ask.has = (path) => paths.has(path);

async function refresh(name) {
  const panel = document.getElementById(name);
  try {
    const again = () => soon(name);
    const asked = await PANELS[name].load(ask, state, again);
    PANELS[name].render(panel, asked, state, { ask, again });
  } catch (error) {
    fill(panel, note(error instanceof Problem ? error.message : `This panel cannot be shown (${error.message}).`, "bad"));
    if (!(error instanceof Problem)) console.warn(name, error);
  }
}

// At once after a rest; what changes meanwhile is shown when that is over.
async function soon(name) {
  if (busy.has(name)) return stale.add(name);
  busy.add(name);
  const began = performance.now();
  await refresh(name);
  const rest = SHARE * (performance.now() - began);
  setTimeout(() => {
    busy.delete(name);
    if (stale.delete(name)) soon(name);
  }, Math.min(MOST_MS, Math.max(LEAST_MS, rest)));
}

const busy = new Set(), stale = new Set();
const changed = () => Object.keys(PANELS).forEach(soon);

listen(shop, {
  live(live) {
    state.live = live;
    const lag = live.counters.lag_records;
    freshness.textContent = `live · ${clock(Date.now())}${lag ? ` · ${lag} ${lag === 1 ? "record" : "records"} behind` : ""}`;
    changed();
  },
  orders(orders) {
    const known = new Map([...state.orders, ...orders].map((order) => [order.order_id, order]));
    state.orders = [...known.values()].sort((a, b) => a.received_at.localeCompare(b.received_at)).slice(-12);
    soon("today");
  },
  state(open) {
    if (!open) freshness.textContent = "not connected: numbers stand still until the API answers again";
  },
});

period.addEventListener("change", changed);
document.getElementById("shop")?.addEventListener("change", (event) => event.target.form.submit());
changed();
setInterval(() => { if (!document.hidden) changed(); }, SLOW_MS);
