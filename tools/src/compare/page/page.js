// The page: what is chosen, which figures that gives, and what stands below each. Not here: drawing.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const chosen = { measure: null, source: data.sources[0], workload: data.design.workloads[0], policy: null, core: null };
const policies = data.design.policies;
const redraws = [];
// What Linux did is beside whatever source is chosen.
const LINUX = "linux";
const isHere = (thing) => [chosen.source, LINUX].includes(thing.source);
const isLinux = (policy) => policies.indexOf(policy) >= data.design.ours;
const linux = data.linux?.was;

// What is chosen is in the address, so that a figure can be pointed to: #workload/policy/measure/source.
function fromAddress() {
  const [workload, policy, measure, source] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (data.design.workloads.includes(workload)) chosen.workload = workload;
  if (policies.includes(policy)) chosen.policy = policy;
  if (measure) chosen.measure = measure;
  if (data.sources.includes(source)) chosen.source = source;
}

const toAddress = () => history.replaceState(null, "", "#" + ["workload", "policy", "measure", "source"].map((key) => chosen[key]).join("/"));

const IMAGES = data.images ? data.images.slice(0, 12) : "none: simulated";

// A figure with its caption, what it was made from, and buttons that save it. `draw` takes a theme.
function figure({ id, title, say, draw, about, tools = [] }) {
  const plot = html("div", { class: "plot" });
  const redraw = () => plot.replaceChildren(draw(theme()));
  redraw();
  redraws.push(redraw);
  const button = (name, save) => {
    const made = html("button", { type: "button", title: `Save this figure as ${name}` }, name);
    made.addEventListener("click", () => save(id, draw(THEMES.light)));
    return made;
  };
  const from = html("div", { class: "about" }, ...tools, html("span", {}, about), html("span", {}, `images ${IMAGES}`),
    html("code", {}, data.command), button("SVG", saveSvg), button("PNG", savePng));
  return html("figure", { id, "data-figure": id }, html("figcaption", {}, html("h3", {}, title), html("p", {}, say)), plot, from);
}

function choices(place, names, key, onChange) {
  byId(place).replaceChildren(...names.map((name) => {
    const button = html("button", { type: "button", "aria-pressed": String(chosen[key] === name) }, key === "core" ? `core ${name}` : name);
    button.addEventListener("click", () => {
      chosen[key] = name;
      onChange();
    });
    return button;
  }));
}

function head() {
  const { workloads, seeds } = data.design;
  const [runs, wrong] = [data.run_count, data.failed.length + data.violations.length + data.costly.length];
  const count = `${data.design.ours} policies` + (linux ? ` and ${policies.length - data.design.ours} of Linux\u2019s` : "");
  byId("lead").textContent = `${count} on ${workloads.length} workloads with ${seeds.length} seeds: ` +
    `${runs} runs, ${[...data.sources, ...(linux ? [`Linux ${linux.release}`] : [])].join(" and ")}. Times are the machine\u2019s own, CPU time is what its ledger charged${linux ? ", on Linux what passed between switches" : ""}.`;
  const verdict = html("div", { class: wrong ? "verdict bad" : "verdict" });
  verdict.append(wrong ? `${data.failed.length} runs failed, ${data.violations.length} bounds did not hold, ${data.costly.length} costs are too high:` : `Every run ended, and all ${data.bound_count} analytical bounds hold.`);
  if (wrong) {
    const lines = [...data.failed.map((failed) => `${failed.run}: ${failed.why}`),
      ...data.violations.map(({ run, scheduler, bound }) => `${run}, ${scheduler} ${bound.client}: ${bound.quantity} ${number(bound.measured)} ${bound.unit}, allowed ${number(bound.most)} (${bound.source})`), ...data.costly];
    verdict.append(html("ul", {}, ...lines.slice(0, 40).map((line) => html("li", {}, line))));
    if (lines.length > 40) verdict.append(`and ${lines.length - 40} more, in results.json`);
  }
  if (data.linux?.absent) verdict.append(html("p", {}, `Linux is not beside them: ${data.linux.absent}.`));
  byId("verdict").replaceChildren(verdict);
}

const summaryOf = (workload) => data.summaries.find((each) => each.workload === workload && each.measure === chosen.measure && each.source === chosen.source);

function measures() {
  const known = new Map(data.summaries.filter((each) => each.source === chosen.source).map((each) => [each.measure, each.title]));
  if (!known.has(chosen.measure)) chosen.measure = known.keys().next().value ?? null;
  const select = byId("measure");
  select.replaceChildren(...[...known].map(([id, title]) => html("option", { value: id }, title)));
  select.value = chosen.measure ?? "";
  select.onchange = () => {
    chosen.measure = select.value;
    everything();
  };
  if (data.sources.length > 1) choices("sources", data.sources, "source", everything);
}

function panels() {
  const found = data.design.workloads.map((workload) => summaryOf(workload)).filter(Boolean);
  byId("panels").replaceChildren(...found.map((summary) => {
    const panel = html("div", {});
    const better = { lower: "less is better", higher: "more is better", neither: "" }[summary.better];
    const about = `${summary.workload}, ${summary.source}${besideLinux()}, seeds ${data.design.seeds[0]} to ${data.design.seeds.at(-1)}`;
    const unknown = linux && ["overhead", "decision"].includes(summary.measure);
    panel.append(figure({
      id: `${summary.workload}-${summary.measure}`, title: `${summary.workload}: ${summary.title.toLowerCase()}`, about,
      say: better + (unknown ? "; of Linux not known: it has no slots, and keeps no account of what its scheduler takes" : ""),
      draw: (colours) => estimateFigure(colours, summary, policies),
    }), pairsOf(summary));
    return panel;
  }));
  byId("matrix").replaceChildren(matrix(found));
}

const besideLinux = () => (linux ? ` and Linux ${linux.release}` : "");

function pairsOf(summary) {
  const plot = html("div", { class: "plot" });
  const redraw = () => plot.replaceChildren(pairFigure(theme(), summary, policies));
  redraw();
  redraws.push(redraw);
  return plot;
}

function matrix(found) {
  const head = html("tr", {}, html("th", {}, found[0]?.title ?? ""), ...policies.map((policy) => html("th", {}, policy)));
  const rows = found.map((summary) => html("tr", {}, html("td", {}, summary.workload, html("small", {}, summary.unit)), ...policies.map((policy) => {
    const estimate = summary.policies.find((candidate) => candidate.policy === policy);
    if (!estimate) return html("td", {}, "\u2013");
    const { mean, low, high, count } = estimate.interval;
    const cell = html("td", { title: `${count} values` }, number(mean), html("small", {}, `${number(low)} to ${number(high)}`));
    if (estimate.bound) {
      const [most, holds] = estimate.bound;
      cell.append(html("small", { class: holds ? "good" : "bad" }, `bound ${number(most)} ${holds ? "holds" : "BROKEN"}`));
    }
    return cell;
  })));
  return html("table", {}, html("thead", {}, head), html("tbody", {}, ...rows));
}

const runOf = (policy) => data.runs.find((run) => run.workload === chosen.workload && run.policy === policy && isHere(run));

function run() {
  const here = policies.filter((policy) => runOf(policy));
  if (!here.includes(chosen.policy)) chosen.policy = here[0] ?? null;
  const shown = runOf(chosen.policy);
  const cores = shown ? shown.curves.map((curves) => curves.core) : [];
  if (!cores.includes(chosen.core)) chosen.core = cores[0] ?? null;
  choices("workloads", data.design.workloads, "workload", everything);
  choices("policies", here, "policy", everything);
  choices("cores", cores.length > 1 ? cores : [], "core", everything);
  byId("figures").replaceChildren(...(shown ? figuresOf(shown) : [html("p", {}, "No run of this workload ended.")]));
  byId("bounds").replaceChildren(boundsOf(here));
}

function figuresOf(shown) {
  const source = shown.source === LINUX ? `Linux ${linux?.release}` : shown.source;
  const about = `${shown.file}, ${shown.policy}, seed ${shown.seed}, ${source}`;
  const name = `${shown.workload}-${shown.policy}`;
  const curves = shown.curves.find((each) => each.core === chosen.core);
  const all = [];
  if (curves) {
    all.push(figure({
      id: `${name}-share`, title: `CPU time against share: ${shown.policy} on ${shown.workload}, core ${curves.core}`, about,
      say: "What each client received (tickets in brackets), and the straight dashed line that its share would have given it. Lines that part from theirs are unfairness, or a client that had nothing to do.",
      draw: (colours) => shareFigure(colours, curves),
    }), figure({
      id: `${name}-error`, title: "Distance from the share over time", about,
      say: "CPU time received less share, in quanta: of each moment the worst. Dotted: one quantum either way, where that can be told apart.",
      draw: (colours) => errorFigure(colours, curves),
    }));
  }
  all.push(timelineOf(shown, { about, name }));
  const aboutAll = `${shown.file}, all policies, all seeds, ${chosen.source}${besideLinux()}`;
  const latencies = lines("latencies");
  if (latencies.length) {
    all.push(figure({
      id: `${shown.workload}-latency`, title: `How long the ready wait: ${shown.workload}, every policy`, about: aboutAll,
      say: "Of all wake-ups, the part that had the CPU within a time; the steeper and the further left, the better.",
      draw: (colours) => latencyFigure(colours, latencies),
    }));
  }
  const misses = allMisses();
  if (misses.length) {
    all.push(figure({
      id: "misses", title: "Missed deadlines against demand, over all workloads with periodic clients only", about: `all workloads, all seeds, ${chosen.source}${besideLinux()}`,
      say: "Each faint point is one core of one run. Left of the dashed line the slots supply more than is demanded, the costs of switching included." +
        (linux ? " Linux has no slots: its supply is the whole core." : ""),
      draw: (colours) => missFigure(colours, misses),
    }));
  }
  return all;
}

function lines(which) {
  const found = data[which].filter((line) => line.workload === chosen.workload && isHere(line) && line.points.length);
  return found.map((line) => ({ name: line.policy, linux: isLinux(line.policy), colour: policies.indexOf(line.policy), points: line.points }));
}

function allMisses() {
  const of = (policy) => data.misses.filter((line) => line.policy === policy && isHere(line)).flatMap((line) => line.points);
  return policies.map((policy, colour) => ({ name: policy, linux: isLinux(policy), colour, points: of(policy) })).filter((line) => line.points.length);
}

// The part of a timeline that is seen, and what moves it.
class View {
  constructor(timeline) {
    const first = timeline.turns.length ? timeline.turns[0][2] : 0;
    this.whole = [first, Math.max(timeline.shown_us, first + 1)];
    this.seen = [first, first + Math.min(this.whole[1] - first, 60e3)];
    this.changed = () => {};
  }
  get length() {
    return this.seen[1] - this.seen[0];
  }
  set(from, length) {
    const span = Math.min(Math.max(length, 50), this.whole[1] - this.whole[0]);
    const begin = Math.min(Math.max(from, this.whole[0]), this.whole[1] - span);
    this.seen = [begin, begin + span];
    this.changed();
  }
  zoom(factor, centre = (this.seen[0] + this.seen[1]) / 2) {
    this.set(centre - (centre - this.seen[0]) * factor, this.length * factor);
  }
  move(part) {
    this.set(this.seen[0] + part * this.length, this.length);
  }
}

// Wheel and drag, for those who have them.
function heed(at, view) {
  at.root.style.cursor = "grab";
  at.root.addEventListener("wheel", (event) => {
    // The wheel alone scrolls the page.
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    view.zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, at.x.back(placeOf(at.root, event)) * 1e3);
  }, { passive: false });
  at.root.addEventListener("pointerdown", (event) => {
    const [from, length, grabbed] = [view.seen[0], view.length, event.clientX];
    const perPixel = length / (at.root.getBoundingClientRect().width * (at.width - at.left - at.right) / at.width);
    const move = (next) => view.set(from - (next.clientX - grabbed) * perPixel, length);
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", () => window.removeEventListener("pointermove", move), { once: true });
  });
}

function timelineOf(shown, { about, name }) {
  const { timeline } = shown;
  const view = new View(timeline);
  const draw = (colours) => {
    const at = timelineFigure(colours, timeline, view.seen);
    heed(at, view);
    return at.root;
  };
  const button = (label, action) => {
    const made = html("button", { type: "button" }, label);
    made.addEventListener("click", action);
    return made;
  };
  const tools = [button("zoom in", () => view.zoom(0.5)), button("zoom out", () => view.zoom(2)), button("earlier", () => view.move(-0.5)),
    button("later", () => view.move(0.5)), button("all", () => view.set(view.whole[0], Infinity))];
  const part = `Here are ${number(timeline.turns.length)} turns, from ${duration(view.whole[0])} to ${duration(view.whole[1])} of ${duration(timeline.end_us)}; the rest is left out to keep the page small.`;
  const made = figure({
    id: `${name}-timeline`, title: `Who had the CPU when: ${shown.policy} on ${shown.workload}`, about, tools, draw,
    say: `A bar is a turn; a small triangle is a missed deadline. Turn the wheel with Ctrl or Shift held to zoom, drag to move, point at a bar to read it. ${part}`,
  });
  view.changed = () => made.querySelector(".plot").replaceChildren(draw(theme()));
  return made;
}

function boundsOf(here) {
  const bounds = here.flatMap((policy) => runOf(policy).bounds.map((bound) => ({ policy, ...bound })));
  const head = ["policy", "core", "client", "quantity", "measured", "allowed", "95 % of runs", "holds", "from"];
  const row = (bound) => {
    const least = bound.least === null ? "at most " : `${number(bound.least)} to `;
    const cells = [bound.policy, bound.core, bound.client || "all", bound.quantity, `${number(bound.measured)} ${bound.unit}`, least + number(bound.most),
      bound.band ? `${number(bound.band[0])} to ${number(bound.band[1])}` : ""];
    const holds = html("td", {}, html("span", { class: bound.holds ? "good" : "bad" }, bound.holds ? "yes" : "NO: a bug"));
    return html("tr", {}, ...cells.map((cell) => html("td", {}, String(cell))), holds, html("td", { class: "text" }, bound.source));
  };
  if (!bounds.length) return html("p", {}, "Theory says nothing of this workload under any of these policies.");
  return html("table", {}, html("thead", {}, html("tr", {}, ...head.map((name) => html("th", {}, name)))), html("tbody", {}, ...bounds.map(row)));
}

function how() {
  const needed = data.design.pairs_needed;
  const withLinux = linux ? `, and for the ${data.design.comparisons_with_linux} with Linux in them on their own` : "";
  const units = Math.max(0, ...data.summaries.flatMap((each) => each.policies.map((estimate) => estimate.interval.count)));
  const said = [
    "A value is one figure of one scheduler, that is, of one core in one run: schedulers on different cores have clients, arrivals and chance of their own, and share no more than the clock. Two policies are compared pair by pair: the same core with the same seed has the same arrivals and demands under both.",
    `Intervals are percentile bootstraps of the mean: all resamples of up to five values, else ${number(data.design.draws)}. With few values they are too narrow rather than too wide; take them as an impression.`,
    `\u201cThey differ\u201d means: a sign-flip permutation test over the pairs, corrected (Holm) for the ${data.design.comparisons} comparisons of each panel${withLinux}, has p \u2264 ${data.design.level}.` +
      (needed ? ` That takes at least ${needed} pairs; here there are up to ${units}.` : "") + " No significant difference does not mean that there is none.",
    "Every figure can be had again: the command stands below it, and images names the kernel and programs by the first digits of their hash. docs/compare.md defines every figure; results.json, schedulers.csv and jobs.csv beside this page have all numbers.",
  ];
  if (linux) {
    said.push(`Linux: the same jobs and the same endless programs, as processes pinned to the same cores, on the same emulated machine; all of each core is theirs, where ours have the slots of their libOS. ${linux.version}, told \u201c${linux.command_line}\u201d. linux-eevdf: weights of cgroups in proportion to tickets. linux-fifo: SCHED_FIFO, the shorter the period the higher the priority, whoever has no deadline last. linux-deadline: SCHED_DEADLINE with the scenario\u2019s budgets, deadlines and periods, whoever has no deadline an ordinary process.`);
  }
  byId("how").replaceChildren(...said.map((line) => html("p", {}, line)));
}

function everything() {
  redraws.length = 0;
  measures();
  panels();
  run();
  byId("costs").replaceChildren(...decisionCosts());
  byId("recording").replaceChildren(...recordingCosts());
  toAddress();
}

head();
how();
fromAddress();
everything();
window.addEventListener("hashchange", () => {
  fromAddress();
  everything();
});
dark.addEventListener("change", () => redraws.forEach((redraw) => redraw()));
document.body.dataset.ready = "yes";
