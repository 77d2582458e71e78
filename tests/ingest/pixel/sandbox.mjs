// Runs the pixel as Shopify's sandbox does: reads {script, page, steps} on standard input, gives
// the script the globals of a custom pixel, fires the steps in order, and prints what it stored.
import vm from "node:vm";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { script, page, steps } = JSON.parse(Buffer.concat(chunks).toString());
const subscribers = {};
const sent = [];
const storage = page.storage || {};
const subscribe = (name, callback) => (subscribers[name] ||= []).push(callback);
const sandbox = {
  analytics: { subscribe },
  api: { customerPrivacy: { subscribe } },
  init: { customerPrivacy: page.customerPrivacy, context: page.context },
  browser: {
    cookie: { get: async (name) => (page.cookies || {})[name] || "" },
    sessionStorage: {
      getItem: async (key) => storage[key] ?? null,
      setItem: async (key, value) => void (storage[key] = value),
    },
  },
  fetch: (...request) => {
    const answer = fetch(...request);
    sent.push(answer.then((response) => response.status));
    return answer;
  },
  URLSearchParams,
};
vm.runInNewContext(script, sandbox);
for (const { name, event } of steps) {
  for (const callback of subscribers[name] || []) await callback(event);
}
console.log(JSON.stringify({ statuses: await Promise.all(sent), storage }));
