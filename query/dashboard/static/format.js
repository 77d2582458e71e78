// Numbers as people read them, in the browser's language.

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

const currencies = new Map(); // Making a format takes much longer than using it.

export const count = (value) => (value == null ? "–" : value >= 100000 ? short.format(value) : whole.format(value));

export function money(value, { brief = false } = {}) {
  if (value == null) return "–";
  const options = { style: "currency", currency: value.currency_code };
  if (brief) {
    const size = Math.abs(Number(value.amount)); // $4.2K, $284, $9.70: one decimal of a dollar reads as a mistake.
    if (size >= 1000) Object.assign(options, { notation: "compact", maximumFractionDigits: 1 });
    else if (size >= 100) Object.assign(options, { minimumFractionDigits: 0, maximumFractionDigits: 0 });
  }
  try {
    const key = JSON.stringify(options);
    if (!currencies.has(key)) currencies.set(key, new Intl.NumberFormat(undefined, options));
    return currencies.get(key).format(Number(value.amount));
  } catch {
    return `${value.amount} ${value.currency_code}`; // A currency that the browser does not know.
  }
}

export const percent = (share, digits = 0) => (share == null ? "–" : `${(100 * share).toFixed(digits)} %`);
export const ratio = (value) => (value == null ? "–" : value.toFixed(2));
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
export const words = (name) => String(name).replaceAll("_", " ");

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const ago = (time) => (time ? `${duration((Date.now() - Date.parse(time)) / 1000)} ago` : "never");
export const clock = (time) => new Date(time).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const day = (text) => new Date(`${text}T12:00:00Z`).toLocaleDateString(undefined, { month: "short", day: "numeric" });
