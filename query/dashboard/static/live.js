// The stream of /v1/events. The browser reconnects by itself and says where it was.

export function listen(shop, on) {
  const source = new EventSource(`/v1/events?shop=${encodeURIComponent(shop)}`);
  source.addEventListener("live", (event) => on.live(JSON.parse(event.data)));
  source.addEventListener("orders", (event) => on.orders(JSON.parse(event.data)));
  source.addEventListener("open", () => on.state(true));
  source.addEventListener("error", () => on.state(false));
}
