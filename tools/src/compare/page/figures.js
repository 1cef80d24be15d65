// The figures of a run and of a workload: each a function of a theme that returns an SVG element. Not here: which of them
// are on the page, and where (`page.js`); how axes and lines are drawn (`draw.js`).

// CPU time of each client against its share: the figure of the stride scheduling paper of 1995.
function shareFigure(colours, curves) {
  const end = curves.at_us.at(-1) || 1;
  const most = Math.max(...curves.clients.flatMap((client) => [client.ran_us.at(-1), client.ideal_us.at(-1)]), 1);
  const at = plane(colours, {
    x: { label: "time since the first slot (s)", domain: [0, end / 1e6] },
    y: { label: "CPU time received (s)", domain: [0, (most * 1.03) / 1e6] },
  });
  const labels = curves.clients.map((client, index) => {
    const colour = colours.palette[index % colours.palette.length];
    const points = (values) => [[at.x(0), at.y(0)], ...values.map((value, i) => [at.x(curves.at_us[i] / 1e6), at.y(value / 1e6)])];
    at.root.append(path(points(client.ideal_us), { stroke: colours.ink, "stroke-width": 1, "stroke-dasharray": "5 4", opacity: 0.75 }));
    at.root.append(path(points(client.ran_us), { stroke: colour, "stroke-width": 2.2 }));
    return { name: `${client.name} (${client.tickets})`, colour, y: at.y(client.ran_us.at(-1) / 1e6) };
  });
  endLabels(at, labels);
  const key = at.left + 14;
  at.root.append(path([[key, 26], [key + 26, 26]], { stroke: colours.ink, "stroke-dasharray": "5 4" }));
  at.root.append(text(key + 33, 30, "its share of what was given out while it competed", { fill: colours.muted }));
  follow(at, (seconds) => {
    const i = nearest(curves.at_us, seconds * 1e6);
    const line = (client) => `${client.name}: ${duration(client.ran_us[i])}, its share ${duration(client.ideal_us[i])}`;
    return [`at ${duration(curves.at_us[i])}`, ...curves.clients.map(line)].join("\n");
  });
  return at.root;
}

const nearest = (values, wanted) => {
  const index = values.findIndex((value) => value >= wanted);
  return index < 0 ? values.length - 1 : index;
};

// How far each client was from its share, at its worst within each span of time.
function errorFigure(colours, curves) {
  const end = curves.at_us.at(-1) || 1;
  const reach = Math.max(...curves.clients.flatMap((client) => client.error_quanta.map(Math.abs)), 1) * 1.08;
  const at = plane(colours, {
    height: 320,
    x: { label: "time since the first slot (s)", domain: [0, end / 1e6] },
    y: { label: "ahead of its share (quanta)", domain: [-reach, reach] },
  });
  for (const edge of reach < 40 ? [-1, 1] : []) {
    at.root.append(path([[at.left, at.y(edge)], [at.width - at.right, at.y(edge)]], { stroke: colours.muted, "stroke-dasharray": "2 4" }));
  }
  at.root.append(path([[at.left, at.y(0)], [at.width - at.right, at.y(0)]], { stroke: colours.muted }));
  const labels = curves.clients.map((client, index) => {
    const colour = colours.palette[index % colours.palette.length];
    const points = client.error_quanta.map((error, i) => [at.x(curves.at_us[i] / 1e6), at.y(error)]);
    at.root.append(path(points, { stroke: colour, "stroke-width": 1.6, opacity: 0.9 }));
    return { name: client.name, colour, y: points.length ? points.at(-1)[1] : at.y(0) };
  });
  endLabels(at, labels);
  follow(at, (seconds) => {
    const i = nearest(curves.at_us, seconds * 1e6);
    return [`at ${duration(curves.at_us[i])}`, ...curves.clients.map((client) => `${client.name}: ${number(client.error_quanta[i])} quanta`)].join("\n");
  });
  return at.root;
}

// Lines of Linux's are dashed.
const dashes = (line) => (line.linux ? { "stroke-dasharray": "6 3" } : {});

// Which part of all wake-ups got the CPU within a time. `lines`: name, colour's number, points of microseconds and part.
function latencyFigure(colours, lines) {
  const all = lines.flatMap((line) => line.points.map((point) => point[0]));
  const low = 10 ** Math.floor(Math.log10(Math.max(Math.min(...all), 1)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...all, low * 10)));
  const at = plane(colours, {
    right: 210, x: { label: "wake-up latency (logarithmic)", domain: [low, high], log: true, format: duration },
    y: { label: "wake-ups served within (%)", domain: [0, 100] },
  });
  const labels = lines.map((line) => {
    const colour = colours.palette[line.colour % colours.palette.length];
    const points = [];
    let before = at.y(0);
    for (const [us, part] of line.points) {
      points.push([at.x(us), before], [at.x(us), (before = at.y(part * 100))]);
    }
    points.push([at.x(high), at.y(100)]);
    at.root.append(path(points, { stroke: colour, "stroke-width": 2, ...dashes(line) }));
    const median = line.points.find((point) => point[1] >= 0.5) ?? line.points.at(-1);
    return { name: `${line.name}: ${duration(median[0])}`, colour, y: at.y(50), order: median[0] };
  });
  labels.sort((one, other) => one.order - other.order).forEach((label, index) => (label.y = at.top + 40 + index * 20));
  at.root.append(text(at.width - at.right + 12, at.top + 18, "median", { fill: colours.muted }));
  for (const label of labels) {
    at.root.append(text(at.width - at.right + 12, label.y, label.name, { fill: label.colour, size: 13, weight: 600 }));
  }
  follow(at, (us) => {
    const within = (line) => line.points.reduce((part, point) => (point[0] <= us ? point[1] : part), 0);
    return [`within ${duration(us)}`, ...lines.map((line) => `${line.name}: ${number(within(line) * 100)} %`)].join("\n");
  });
  return at.root;
}

// Misses against demand: a point for each scheduler of each run, the mean of points of about the same demand connected.
function missFigure(colours, lines) {
  const demands = lines.flatMap((line) => line.points.map((point) => point[0]));
  const [low, high] = [Math.min(...demands, 0.9), Math.max(...demands, 1.05)];
  const at = plane(colours, {
    height: 340,
    x: { label: "demand of the periodic clients, of what the slots supply (%)", domain: [Math.max(0, low * 98), high * 102] },
    y: { label: "jobs that missed their deadline (%)", domain: [0, 100] },
  });
  at.root.append(path([[at.x(100), at.top], [at.x(100), at.height - at.bottom]], { stroke: colours.ink, "stroke-dasharray": "5 4" }));
  at.root.append(text(at.x(100) - 6, at.top + 12, "all that is supplied", { fill: colours.muted, anchor: "end" }));
  const labels = lines.map((line) => {
    const colour = colours.palette[line.colour % colours.palette.length];
    for (const [demand, ratio] of line.points) {
      at.root.append(svg("circle", { cx: at.x(demand * 100), cy: at.y(ratio * 100), r: 3, fill: colour, opacity: 0.35 }));
    }
    const means = meansOf(line.points).map(([demand, ratio]) => [at.x(demand * 100), at.y(ratio * 100)]);
    at.root.append(path(means, { stroke: colour, "stroke-width": 2, ...dashes(line) }));
    means.forEach(([cx, cy]) => at.root.append(svg("circle", { cx, cy, r: 4.5, fill: colour, stroke: colours.paper })));
    return { name: line.name, colour, y: means.at(-1)[1] };
  });
  endLabels(at, labels);
  return at.root;
}

// Points whose demand is the same to a fiftieth, as one: the means of both coordinates.
function meansOf(points) {
  const groups = new Map();
  for (const point of points) {
    const key = Math.round(point[0] * 50);
    groups.set(key, [...(groups.get(key) ?? []), point]);
  }
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const all = [...groups.values()].map((group) => [mean(group.map((point) => point[0])), mean(group.map((point) => point[1]))]);
  return all.sort((one, other) => one[0] - other[0]);
}

// Who had each core when: a row for each client, grouped by core. `view` is [from, to] in microseconds.
function timelineFigure(colours, timeline, view) {
  const rows = [...new Set(timeline.turns.map((turn) => turn[1] * 1e6 + turn[0]))].sort((one, other) => one - other);
  const row = 17;
  const cores = [...new Set(rows.map((key) => Math.floor(key / 1e6)))];
  const height = 62 + rows.length * row + cores.length * 8;
  const at = plane(colours, {
    height, left: 150, right: 20, y: { label: "", domain: [0, 1], count: 0, format: () => "" },
    x: { label: "time since the first slot (ms)", domain: view.map((us) => us / 1e3), count: 10 },
  });
  const places = timelineRows(at, timeline, { rows, row });
  timelineBars(at, timeline, { places, view, thick: row - 3 });
  timelineMisses(at, timeline, places);
  at.root.addEventListener("pointermove", (event) => (event.target.dataset.tip ? showTip(event, event.target.dataset.tip) : hideTip()));
  at.root.addEventListener("pointerleave", hideTip);
  return at;
}

// The rows' names and backgrounds; of each row its top and its colour, numbered within a core as in a scheduler's figures.
function timelineRows(at, timeline, { rows, row }) {
  const { colours } = at;
  const places = new Map();
  let [y, within] = [at.top, 0];
  for (const [index, key] of rows.entries()) {
    const [core, client] = [Math.floor(key / 1e6), key % 1e6];
    const first = !index || Math.floor(rows[index - 1] / 1e6) !== core;
    if (first && index) y += 8;
    within = first ? 0 : within + 1;
    const colour = colours.palette[within % colours.palette.length];
    places.set(key, { top: y, colour });
    at.root.append(svg("rect", { x: at.left, y, width: at.width - at.left - at.right, height: row - 3, fill: colours.faint, opacity: 0.45 }));
    at.root.append(text(at.left - 8, y + 11, timeline.names[client], { fill: colour, anchor: "end", size: 11.5, weight: 600 }));
    if (first) at.root.append(text(4, y + 11, `core ${core}`, { fill: colours.muted, size: 11.5 }));
    y += row;
  }
  return places;
}

function timelineBars(at, timeline, { places, view, thick }) {
  const edge = at.width - at.right;
  for (const [client, core, begin, length] of timeline.turns) {
    if (begin + length < view[0] || begin > view[1]) continue;
    const from = Math.max(at.x(begin / 1e3), at.left);
    const to = Math.min(at.x((begin + length) / 1e3), edge);
    const { top, colour } = places.get(core * 1e6 + client);
    const bar = svg("rect", { x: from.toFixed(2), y: top, width: Math.max(to - from, 0.4).toFixed(2), height: thick, fill: colour });
    bar.dataset.tip = `${timeline.names[client]} on core ${core}\nfrom ${number(begin / 1e3)} ms for ${duration(length)}`;
    at.root.append(bar);
  }
}

function timelineMisses(at, timeline, places) {
  const keys = [...places.keys()];
  for (const [client, when] of timeline.misses) {
    const place = at.x(when / 1e3);
    const key = keys.find((candidate) => candidate % 1e6 === client);
    if (place < at.left || place > at.width - at.right || key === undefined) continue;
    const { top } = places.get(key);
    const mark = path([[place - 4, top - 1], [place, top + 6], [place + 4, top - 1], [place - 4, top - 1]], { fill: at.colours.bad, stroke: at.colours.paper });
    mark.dataset.tip = `${timeline.names[client]} missed a deadline\nat ${number(when / 1e3)} ms`;
    at.root.append(mark);
  }
}

// A measure on one workload: a row for each policy with its mean, interval, values and bound.
function estimateFigure(colours, summary, policies) {
  const values = summary.policies.flatMap((estimate) => estimate.values.map((value) => value[2]));
  const bounds = summary.policies.filter((estimate) => estimate.bound).map((estimate) => estimate.bound[0]);
  const [least, most] = [Math.min(...values, ...bounds), Math.max(...values, ...bounds)];
  const wide = least > 0 && most / least > 50;
  const pad = (most - least || Math.abs(most) || 1) * 0.06;
  const domain = wide ? [least * 0.8, most * 1.25] : [least >= 0 && least < most * 0.6 ? 0 : least - pad, most + pad];
  const row = 26;
  const at = plane(colours, {
    width: 520, height: 54 + policies.length * row, left: 124, right: 100, top: 6,
    x: { label: `${summary.unit}${wide ? " (logarithmic)" : ""}`, domain, log: wide, count: 4 },
    y: { label: "", domain: [0, 1], count: 0, format: () => "" },
  });
  for (const [index, policy] of policies.entries()) {
    const y = at.top + index * row + row / 2;
    const colour = colours.palette[index % colours.palette.length];
    at.root.append(text(at.left - 10, y + 4, policy, { fill: colour, anchor: "end", size: 13, weight: 600 }));
    at.root.append(svg("line", { x1: at.left, x2: at.width - at.right, y1: y, y2: y, stroke: colours.faint }));
    const estimate = summary.policies.find((candidate) => candidate.policy === policy);
    if (!estimate) {
      at.root.append(text(at.width - at.right + 8, y + 4, "no value", { fill: colours.muted }));
      continue;
    }
    drawEstimate(at, estimate, { y, colour });
  }
  return at.root;
}

function drawEstimate(at, estimate, { y, colour }) {
  const { interval, bound } = estimate;
  for (const [, , value] of estimate.values) {
    at.root.append(svg("circle", { cx: at.x(value), cy: y, r: 2.2, fill: at.colours.muted, opacity: 0.4 }));
  }
  at.root.append(path([[at.x(interval.low), y], [at.x(interval.high), y]], { stroke: colour, "stroke-width": 5, opacity: 0.55 }));
  at.root.append(svg("circle", { cx: at.x(interval.mean), cy: y, r: 5, fill: colour, stroke: at.colours.paper, "stroke-width": 1.5 }));
  if (bound) {
    const stroke = bound[1] ? at.colours.ink : at.colours.bad;
    at.root.append(path([[at.x(bound[0]), y - 10], [at.x(bound[0]), y + 10]], { stroke, "stroke-width": 1.6 }));
  }
  at.root.append(text(at.width - at.right + 8, y + 4, number(interval.mean), { fill: at.colours.ink, size: 13 }));
}

// Which pairs of policies differ: a half matrix, filled where they do.
function pairFigure(colours, summary, policies) {
  const cell = 20;
  const root = frame(colours, 520, Math.max(30 + policies.length * cell, 82));
  const glyph = { differs: "\u25cf", "no-significant-difference": "\u00b7", "too-few-repetitions": "?" };
  root.append(text(114, 14, "differs from", { fill: colours.muted, anchor: "end" }));
  policies.forEach((one, row) => {
    root.append(text(114, 32 + row * cell, one, { fill: colours.palette[row % colours.palette.length], anchor: "end", size: 12, weight: 600 }));
    policies.slice(0, row).forEach((other, column) => {
      const pair = summary.pairs.find((each) => (each.one === other && each.other === one) || (each.one === one && each.other === other));
      const [x, y] = [128 + column * cell, 18 + row * cell];
      const box = svg("rect", { x, y, width: cell - 2, height: cell - 2, fill: colours.faint, opacity: pair ? 0.7 : 0.2 });
      root.append(box);
      if (!pair) return;
      const mark = text(x + 9, y + 14, glyph[pair.answer], { fill: pair.answer === "differs" ? colours.ink : colours.muted, anchor: "middle", size: 13 });
      mark.setAttribute("pointer-events", "none");
      root.append(mark);
      const sign = pair.test.difference > 0 ? "more" : "less";
      box.dataset.tip = `${pair.one} has ${number(Math.abs(pair.test.difference))} ${summary.unit} ${sign} than ${pair.other}\n` +
        `${pair.answer.replaceAll("-", " ")}: p = ${number(pair.corrected_p)} corrected, ${number(pair.test.p)} alone, ${pair.test.count} pairs`;
    });
  });
  const right = 144 + policies.length * cell;
  ["\u25cf  they differ", "\u00b7  no significant difference", "?  too few repetitions to say"].forEach((line, index) => {
    root.append(text(right, 36 + index * 18, line, { fill: colours.muted }));
  });
  root.addEventListener("pointermove", (event) => (event.target.dataset.tip ? showTip(event, event.target.dataset.tip) : hideTip()));
  root.addEventListener("pointerleave", hideTip);
  return root;
}
