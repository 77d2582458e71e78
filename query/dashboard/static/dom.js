// Elements from plain values. Text is always set as text, so nothing that a shop sent becomes markup.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null).map((child) => child instanceof Node ? child : String(child)));
  return made;
}

// Numbers with their name and what to compare them with: [name, value, note, tone].
export function figures(...pairs) {
  return element("dl", { class: "figures" }, pairs.filter(Boolean).map(([name, value, note, tone]) =>
    element("div", {}, element("dt", {}, name), element("dd", { class: tone }, value, note ? element("small", {}, note) : null))));
}

// Text in which `…` marks what is typed somewhere.
const marked = (text) => text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part)).filter((part) => part !== "");

// A table with wide columns stacks each row on a phone, where `data-name` stands for its head.
export function table(caption, columns, rows) {
  const stacks = columns.some((column) => column.wide);
  const head = columns.map((column) => element("th", { scope: "col", class: column.number ? "number" : null }, column.name));
  const body = rows.map((row) => element("tr", {}, columns.map((column, place) => {
    const value = column.of(row);
    const share = column.heat?.(row);
    const classes = [column.number && "number", column.wide && "wide", column.bar && "bar", column.tone?.(row), share == null ? null : `h${Math.min(4, Math.floor(share * 10))}`];
    return element(place ? "td" : "th", { scope: place ? null : "row", class: classes.filter(Boolean).join(" ") || null, "data-name": stacks && place ? column.name : null }, value ?? "–");
  })));
  // Wide tables scroll by themselves, also by keyboard.
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", { class: stacks ? "stack" : null }, element("caption", {}, caption), element("thead", {}, element("tr", {}, head)), element("tbody", {}, body)));
}

export function columns(...parts) {
  return element("div", { class: "columns" }, parts.flat());
}

export function note(text, tone = "quiet") {
  return text ? element("p", { class: tone }, marked(text)) : null;
}

const drawn = new WeakMap();

// A panel that shows the same already is left alone, with what somebody has selected in it.
export function fill(panel, ...children) {
  const content = panel.querySelector(".content");
  const fresh = element("div", {}, ...children);
  panel.setAttribute("aria-busy", "false");
  if (drawn.get(panel)?.isEqualNode(fresh)) return;
  drawn.set(panel, fresh.cloneNode(true));
  const focused = content.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const scrolled = [...content.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  content.replaceChildren(...fresh.childNodes);
  content.querySelectorAll(".scroll").forEach((each, at) => { if (scrolled[at]) each.scrollLeft = scrolled[at]; });
  if (focused) content.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}
