// Drawing: themes, scales, axes, lines, labels, and saving a figure. Every figure is a function of a theme that returns an
// SVG element, so that it is drawn again for a dark screen and saved for paper. Not here: what is drawn.

const PALETTE = {
  light: ["#0072b2", "#d55e00", "#009e73", "#b0538a", "#b07d00", "#3d8fc4", "#5c6670", "#7a4a1e", "#5b4bb7"],
  dark: ["#56a9e0", "#ff8b3d", "#2fcf9b", "#e39ac4", "#f0b429", "#8fd0ff", "#aab4be", "#c79a6b", "#a99bff"],
};
const THEMES = {
  light: { ink: "#1b1f24", muted: "#5c6670", faint: "#e3e6ea", paper: "#ffffff", bad: "#b23a00", palette: PALETTE.light },
  dark: { ink: "#e8eaed", muted: "#9aa4af", faint: "#2c333b", paper: "#14171b", bad: "#ff9a5c", palette: PALETTE.dark },
};
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const theme = () => (dark.matches ? THEMES.dark : THEMES.light);
const FONT = '"Source Sans 3", "Segoe UI", system-ui, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif';

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function text(x, y, content, { size = 12, fill, anchor = "start", weight = 400 } = {}) {
  return svg("text", { x, y, fill, "font-size": size, "text-anchor": anchor, "font-weight": weight }, String(content));
}

function linear([from, to], [start, end]) {
  const span = to - from || 1;
  const scale = (value) => start + ((value - from) / span) * (end - start);
  scale.back = (place) => from + ((place - start) / (end - start)) * span;
  scale.ticks = (count = 6) => niceTicks(from, to, count);
  return scale;
}

function logarithmic([from, to], range) {
  const inner = linear([Math.log10(from), Math.log10(to)], range);
  const scale = (value) => inner(Math.log10(Math.max(value, from)));
  scale.back = (place) => 10 ** inner.back(place);
  scale.ticks = () => {
    const all = [];
    for (let power = Math.ceil(Math.log10(from) - 1e-9); power <= Math.log10(to) + 1e-9; power++) all.push(10 ** power);
    return all;
  };
  return scale;
}

function niceTicks(from, to, count) {
  const rough = (to - from) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const all = [];
  for (let number = Math.ceil(from / step - 1e-9); number * step <= to + step * 1e-9; number++) all.push(number * step);
  return all;
}

// A number as people read it: three significant digits, thousands apart.
function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size)));
  const [whole, part] = Number(value.toFixed(digits)).toString().split(".");
  return whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f").replace("-", "\u2212") + (part ? "." + part : "");
}

// Microseconds in the unit that fits.
function duration(us) {
  const size = Math.abs(us);
  if (size >= 1e6) return number(us / 1e6) + " s";
  if (size >= 1e3) return number(us / 1e3) + " ms";
  return number(us) + " \u00b5s";
}

function frame(colours, width, height) {
  return svg("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, "font-family": FONT, role: "img", xmlns: "http://www.w3.org/2000/svg",
  }, svg("rect", { width, height, fill: colours.paper }));
}

// The plane of a figure: axes with units, a grid that stays in the background.
function plane(colours, { width = 1060, height = 400, left = 64, right = 150, top = 14, bottom = 46, x, y }) {
  const root = frame(colours, width, height);
  const xScale = (x.log ? logarithmic : linear)(x.domain, [left, width - right]);
  const yScale = (y.log ? logarithmic : linear)(y.domain, [height - bottom, top]);
  for (const tick of yScale.ticks(y.count ?? 5)) {
    const at = yScale(tick);
    root.append(svg("line", { x1: left, x2: width - right, y1: at, y2: at, stroke: colours.faint }));
    root.append(text(left - 8, at + 4, (y.format ?? number)(tick), { fill: colours.muted, anchor: "end" }));
  }
  for (const tick of xScale.ticks(x.count ?? 8)) {
    const at = xScale(tick);
    root.append(svg("line", { x1: at, x2: at, y1: height - bottom, y2: height - bottom + 5, stroke: colours.muted }));
    root.append(text(at, height - bottom + 19, (x.format ?? number)(tick), { fill: colours.muted, anchor: "middle" }));
  }
  root.append(svg("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, stroke: colours.muted }));
  root.append(text((left + width - right) / 2, height - 8, x.label, { fill: colours.ink, anchor: "middle", size: 13 }));
  const along = text(0, 0, y.label, { fill: colours.ink, anchor: "middle", size: 13 });
  along.setAttribute("transform", `translate(15 ${(top + height - bottom) / 2}) rotate(-90)`);
  root.append(along);
  return { root, x: xScale, y: yScale, width, height, left, right, top, bottom, colours };
}

function path(points, attributes) {
  const d = points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return svg("path", { d, fill: "none", "stroke-linejoin": "round", "stroke-linecap": "round", ...attributes });
}

// Names beside the ends of their lines, moved apart so that none covers another.
function endLabels(at, labels) {
  const gap = 16;
  const placed = labels.map((label) => ({ ...label, to: label.y })).sort((one, other) => one.to - other.to);
  for (let index = 1; index < placed.length; index++) {
    placed[index].to = Math.max(placed[index].to, placed[index - 1].to + gap);
  }
  const over = placed.length ? placed.at(-1).to - (at.height - at.bottom + 4) : 0;
  if (over > 0) placed.forEach((label) => (label.to -= over));
  for (let index = placed.length - 2; index >= 0; index--) {
    placed[index].to = Math.min(placed[index].to, placed[index + 1].to - gap);
  }
  const edge = at.width - at.right;
  for (const label of placed) {
    if (Math.abs(label.to - label.y) > 3) {
      at.root.append(path([[edge + 2, label.y], [edge + 9, label.to]], { stroke: label.colour, "stroke-width": 1 }));
    }
    at.root.append(text(edge + 12, label.to + 4, label.name, { fill: label.colour, size: 13, weight: 600 }));
  }
}

const tip = document.getElementById("tip");
function showTip(event, content) {
  tip.textContent = content;
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
  const top = event.clientY + 18 + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}
const hideTip = () => (tip.hidden = true);

// The place in a drawing's own coordinates.
function placeOf(root, event) {
  const box = root.getBoundingClientRect();
  return (event.clientX - box.left) * (root.viewBox.baseVal.width / box.width);
}

// A rule that follows the pointer; `describe` says what stands at a value of x.
function follow(at, describe) {
  const rule = svg("line", { y1: at.top, y2: at.height - at.bottom, stroke: at.colours.muted, "stroke-dasharray": "2 3", visibility: "hidden" });
  at.root.append(rule);
  at.root.addEventListener("pointermove", (event) => {
    const place = placeOf(at.root, event);
    if (place < at.left || place > at.width - at.right) return leave();
    rule.setAttribute("x1", place);
    rule.setAttribute("x2", place);
    rule.setAttribute("visibility", "visible");
    showTip(event, describe(at.x.back(place)));
  });
  const leave = () => {
    rule.setAttribute("visibility", "hidden");
    hideTip();
  };
  at.root.addEventListener("pointerleave", leave);
}

function download(name, blob) {
  const link = html("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const svgText = (root) => '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(root);

function saveSvg(name, root) {
  download(`${name}.svg`, new Blob([svgText(root)], { type: "image/svg+xml" }));
}

function savePng(name, root) {
  const picture = new Image();
  picture.onload = () => {
    const canvas = html("canvas", { width: picture.width * 2, height: picture.height * 2 });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => download(`${name}.png`, blob));
  };
  picture.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svgText(root));
}
