// What is no run's: the cost of a decision against the number of clients, and what recording cost. Not here: drawing.

const QUANTITIES = [
  { id: "policy", unit: "instructions", title: "A decision: the policy\u2019s own instructions in a turn",
    say: "On the kernel, counted exactly: the policy is told who became ready, decides, and is told how the turn ended. Mean of 1 000 turns." },
  { id: "turn", unit: "instructions", title: "A whole turn: dispatch loop, policy, kernel and back",
    say: "On the kernel, counted exactly, with a client that waits at once. What is above the figure before is the loop\u2019s and the kernel\u2019s." },
  { id: "host", unit: "ns", title: "A decision on the host that simulates",
    say: "By the host\u2019s wall clock, so the digits are noise: the median of 151 repetitions of 200 turns, and bars for the middle half of them." },
];

// A cost against the number of clients, which goes by powers of ten.
function costFigure(colours, { unit, id }, curves) {
  const all = curves.flatMap((curve) => curve.points);
  const most = Math.max(...all.map((point) => (id === "host" ? point.range[1] : point.cost)), 1);
  const at = plane(colours, {
    height: 340, x: { label: "clients of one scheduler (logarithmic)", domain: [1, Math.max(...all.map((point) => point.clients), 10)], log: true },
    y: { label: `${unit} for a decision`, domain: [0, most * 1.06] },
  });
  // Costs are of every policy, those that are not compared included.
  const names = [...new Set([...policies, ...curves.map((curve) => curve.policy)])];
  const labels = curves.map((curve) => {
    const colour = colours.palette[names.indexOf(curve.policy) % colours.palette.length];
    const points = curve.points.map((point) => [at.x(point.clients), at.y(point.cost)]);
    at.root.append(path(points, { stroke: colour, "stroke-width": 2.2 }));
    curve.points.forEach((point, index) => {
      const [cx, cy] = points[index];
      if (id === "host") at.root.append(path(point.range.map((value) => [cx, at.y(value)]), { stroke: colour, opacity: 0.5 }));
      at.root.append(svg("circle", { cx, cy, r: 4, fill: colour, stroke: colours.paper }));
    });
    return { name: curve.policy, colour, y: points.at(-1)[1] };
  });
  endLabels(at, labels);
  follow(at, (clients) => {
    const near = nearest(curves[0].points.map((point) => point.clients), clients / Math.sqrt(10));
    const line = (curve) => `${curve.policy}: ${number(curve.points[near].cost)}`;
    return [`with ${number(curves[0].points[near].clients)} clients, ${unit}`, ...curves.map(line)].join("\n");
  });
  return at.root;
}

function costTable(unit, curves) {
  const clients = curves[0].points.map((point) => point.clients);
  const head = ["policy", ...clients.map((many) => `${number(many)} clients`), "about", "no faster than log n"];
  const rows = curves.map((curve) => html("tr", {}, html("td", {}, curve.policy),
    ...curve.points.map((point) => html("td", { title: `${number(point.range[0])} to ${number(point.range[1])} ${unit}` }, number(point.cost))),
    html("td", {}, `${number(curve.fit.one)} + ${number(curve.fit.doubling)} log\u2082 n`),
    html("td", {}, html("span", { class: curve.logarithmic ? "good" : "bad" }, curve.logarithmic ? "yes" : "NO"))));
  return html("div", { class: "scroll" }, html("table", {}, html("thead", {}, html("tr", {}, ...head.map((name) => html("th", {}, name)))), html("tbody", {}, ...rows)));
}

function decisionCosts() {
  const shown = QUANTITIES.map((quantity) => ({ quantity, curves: data.decisions.filter((curve) => curve.quantity === quantity.id) }));
  return shown.filter(({ curves }) => curves.length).flatMap(({ quantity, curves }) => [
    figure({
      id: `cost-${quantity.id}`, title: quantity.title, say: quantity.say, draw: (colours) => costFigure(colours, quantity, curves),
      about: quantity.id === "host" ? "policies as the simulator drives them" : "scenarios/decisions.toml, one core",
    }),
    costTable(quantity.unit, curves),
  ]);
}

// What recording cost: of each workload and policy the most of its runs, beside the limit.
function recordingCosts() {
  const { limit, rows, worst } = data.recording;
  if (!rows.length) return [html("p", {}, "Nothing was recorded on the kernel.")];
  const percent = (share) => `${number(share * 100)}\u00a0%`;
  const workloads = [...new Set(rows.map((row) => row.workload))];
  const cell = (workload, policy) => {
    const row = rows.find((each) => each.workload === workload && each.policy === policy);
    return html("td", {}, row ? html("span", { class: row.within ? "good" : "bad" }, percent(row.most)) : "\u2013");
  };
  const head = html("tr", {}, html("th", {}, "workload"), ...policies.map((policy) => html("th", {}, policy)));
  const body = workloads.map((workload) => html("tr", {}, html("td", {}, workload), ...policies.map((policy) => cell(workload, policy))));
  const say = `Of all cores\u2019 time, in the worst of each workload\u2019s runs under a policy; at slots of 1 ms it is to be at most ${percent(limit)}. The most: ${percent(worst)}.`;
  return [html("p", { class: "say" }, say), html("div", { class: "scroll" }, html("table", {}, html("thead", {}, head), html("tbody", {}, ...body)))];
}
