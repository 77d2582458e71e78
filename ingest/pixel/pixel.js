// orderwire: custom pixel for Shopify (Settings > Customer events > Add custom pixel).
//
// At checkout_started and checkout_completed it sends what only the browser knows: click ids, the
// Meta cookies _fbp and _fbc, the user agent and the visitor's privacy choices. Without consent to
// marketing it reads no cookie and sends the choices and the checkout's token, nothing else.
// It sets no cookie. In the tab's session storage it keeps click ids and the checkout's token,
// with consent to marketing only, until the tab is closed.
(() => {
  const ENDPOINT = "__ORDERWIRE_ENDPOINT__";
  const SHOP = "__ORDERWIRE_SHOP__";
  const CLICK_IDS = [
    "fbclid", "gclid", "gbraid", "wbraid", "ttclid", "msclkid", "epik", "sccid", "rdt_cid", "twclid",
  ];
  const CLICKS = "orderwire_clicks";
  const CHECKOUT = "orderwire_checkout";

  let privacy = (init && init.customerPrivacy) || {};

  const mayMarket = () => privacy.marketingAllowed === true;

  const consent = () => ({
    analytics: privacy.analyticsProcessingAllowed,
    marketing: privacy.marketingAllowed,
    preferences: privacy.preferencesProcessingAllowed,
    sale_of_data: privacy.saleOfDataAllowed,
  });

  async function stored(key) {
    try {
      return JSON.parse((await browser.sessionStorage.getItem(key)) || "null");
    } catch (error) {
      return null; // Storage is blocked, or holds something else.
    }
  }

  async function store(key, value) {
    try {
      await browser.sessionStorage.setItem(key, JSON.stringify(value));
    } catch (error) {
      // Storage is blocked: what is on the page itself is sent all the same.
    }
  }

  async function cookie(name) {
    try {
      return (await browser.cookie.get(name)) || undefined;
    } catch (error) {
      return undefined;
    }
  }

  function clicksOf(event) {
    const page = (event.context && event.context.document && event.context.document.location) || {};
    const query = new URLSearchParams(page.search || "");
    const found = {};
    for (const [name, value] of query) {
      if (CLICK_IDS.includes(name.toLowerCase()) && value) found[name.toLowerCase()] = value;
    }
    return Object.keys(found).length ? { ids: found, at_ms: Date.now() } : null;
  }

  async function remember(event) {
    const clicked = clicksOf(event);
    if (clicked && mayMarket()) await store(CLICKS, clicked);
  }

  function send(body) {
    // text/plain needs no preflight; keepalive lets the request outlive the page.
    return fetch(ENDPOINT, {
      method: "POST",
      headers: { "Content-Type": "text/plain;charset=UTF-8" },
      body: JSON.stringify(body),
      credentials: "omit",
      keepalive: true,
    }).catch(() => undefined);
  }

  async function report(name, event) {
    const checkout = event.data && event.data.checkout;
    if (!checkout || !checkout.token) return;
    const body = {
      shop: SHOP,
      event: name,
      event_id: event.id,
      checkout_token: checkout.token,
      consent: consent(),
    };
    if (mayMarket()) {
      const clicked = clicksOf(event) || (await stored(CLICKS)) || {};
      body.fbp = await cookie("_fbp");
      body.fbc = await cookie("_fbc");
      body.clicks = clicked.ids;
      body.clicked_ms = clicked.at_ms;
      const page = event.context || (init && init.context) || {};
      body.user_agent = page.navigator && page.navigator.userAgent;
      await store(CHECKOUT, checkout.token);
    }
    await send(body);
  }

  async function consentChanged(event) {
    privacy = (event && event.customerPrivacy) || {};
    const token = await stored(CHECKOUT);
    if (token) await send({ shop: SHOP, event: "consent", checkout_token: token, consent: consent() });
  }

  analytics.subscribe("page_viewed", remember);
  analytics.subscribe("checkout_started", (event) => report("checkout_started", event));
  analytics.subscribe("checkout_completed", (event) => report("checkout_completed", event));
  if (typeof api !== "undefined" && api.customerPrivacy) {
    api.customerPrivacy.subscribe("visitorConsentCollected", consentChanged);
  }
})();
