// Charts by Plotly. Its script is loaded when the first chart comes into view.

import { element } from "./dom.js";

const main = document.getElementById("main");
let loading = null;

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `/static/${main.dataset.assets}/plotly.min.js`;
    script.nonce = main.dataset.nonce;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.min.js cannot be loaded"));
    document.head.append(script);
  });
  return loading;
}

const wanted = new WeakMap(), drawn = new WeakMap();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
}, { rootMargin: "200px" });

export function chart(label) {
  const place = document.createElement("div");
  place.className = "chart";
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", label);
  return place;
}

// Where a panel wants the chart. It is empty when the panel is compared with what it shows already.
export const slot = (place) => element("div", { "data-chart": place.getAttribute("aria-label") });

export function show(place, traces, layout) {
  wanted.set(place, { traces, layout });
  const found = document.querySelector(`[data-chart="${CSS.escape(place.getAttribute("aria-label"))}"]`);
  if (place.parentNode !== found) found.append(place);
  seen.observe(place);
  if (place.dataset.drawn) draw(place);
}

async function draw(place) {
  const asked = wanted.get(place);
  if (!asked) return;
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
  const axis = { gridcolor: line, zerolinecolor: line, fixedrange: true };
  const { xaxis, yaxis, ...layout } = asked.layout;
  const figure = {
    data: asked.traces,
    layout: {
      margin: { l: 56, r: 16, t: 8, b: 40 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { color: ink, family: "system-ui, sans-serif", size: 12 }, showlegend: false,
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, rangemode: "tozero", ...yaxis }, ...layout,
    },
  };
  const text = JSON.stringify(figure);
  const Plotly = await plotly();
  if (drawn.get(place) === text) return;
  drawn.set(place, text);
  await Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  place.dataset.drawn = "yes";
}

export const accent = () => getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
export const soft = () => `rgba(${getComputedStyle(document.documentElement).getPropertyValue("--heat").trim()}, .14)`;
