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

export function figures(...pairs) {
  return element("dl", { class: "figures" }, pairs.filter(Boolean).map(([name, value, note, tone]) =>
    element("div", {}, element("dt", {}, name), element("dd", { class: tone }, value, note ? element("small", {}, note) : null))));
}

export function table(caption, columns, rows) {
  const head = columns.map((column) => element("th", { scope: "col", class: column.number ? "number" : null }, column.name));
  const body = rows.map((row) => element("tr", {}, columns.map((column, place) => {
    const value = column.of(row);
    return element(place ? "td" : "th", { scope: place ? null : "row", class: column.number ? "number" : column.wide ? "wide" : null }, value ?? "–");
  })));
  // Wide tables scroll by themselves, also by keyboard.
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, head)), element("tbody", {}, body)));
}

export function columns(...parts) {
  return element("div", { class: "columns" }, parts);
}

export function note(text, tone = "quiet") {
  return text ? element("p", { class: tone }, text) : null;
}

export function fill(panel, ...children) {
  const content = panel.querySelector(".content");
  const focused = content.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  content.replaceChildren(...children.flat().filter((child) => child != null));
  if (focused) content.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  panel.setAttribute("aria-busy", "false");
}
