/* Draws the charts of the report, up to four panels on one time axis, from the JSON in #data. Makes no requests. */
(() => {
  "use strict";
  const startedMs = performance.now();
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const SVG = "http://www.w3.org/2000/svg";
  const LEFT = 52, RIGHT = 52;

  let redraw = () => {};
  theme();
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) {
      box.tabIndex = 0;
      const table = box.querySelector("table");
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", (table ? table.getAttribute("aria-label") : "Lag bars") + ", scrolls");
    }
  }
  const chart = $("chart");
  if (!chart) return;
  chart.hidden = false;

  const page = JSON.parse($("data").textContent);
  const unpack = (text) => text.split(",").map((v) => v === "" ? null : +v);
  const T = unpack(page.t), N = T.length, FIRST = T[0], LAST = T[N - 1] + page.bin;
  const series = {};
  for (const name in page.series) series[name] = unpack(page.series[name]);
  const lanes = page.lanes.map((lane) => {
    const values = unpack(lane.v);
    return page.lane_bins === 1 ? values : T.map((_, i) => values[Math.floor(i / page.lane_bins)]);
  });

  /* ---- text ---- */
  const digits = (v, n) => v === 0 ? "0" : Math.abs(v) >= 10 ** n ? v.toFixed(0) : String(+v.toPrecision(n));
  const seconds = (v) => Math.abs(v) > 0 && Math.abs(v) < 0.9995 ? digits(v * 1000, 3) + " ms" : digits(v, 3) + " s";
  function clock(t, fine) {
    const tenths = Math.round(Math.abs(t) * 10);
    const whole = Math.floor(tenths / 10), h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60, s = whole % 60;
    const pad = (n) => String(n).padStart(2, "0");
    const rest = fine && tenths % 10 ? "." + tenths % 10 : "";
    return (t < 0 && tenths ? "−" : "") + (h ? h + ":" + pad(m) : m) + ":" + pad(s) + rest;
  }
  const plain = (v) => Math.abs(v) < 1 ? String(+v.toFixed(2)) : digits(v, 3);
  const formatters = { "requests/s": plain, s: seconds, "": plain };

  /* ---- theme ---- */
  let colours = {};
  function readColours() {
    const style = getComputedStyle(root);
    for (const name of ["page", "band", "ink", "muted", "rule", "grey", "blue", "navy", "green", "orange", "vermillion", "purple"])
      colours[name] = style.getPropertyValue("--" + name).trim();
    const canvas = document.createElement("canvas"), size = 8 * devicePixelRatio;
    canvas.width = canvas.height = size;
    const c = canvas.getContext("2d");
    c.strokeStyle = colours.orange;
    c.lineWidth = devicePixelRatio;
    c.globalAlpha = 0.3;
    c.beginPath();
    for (const at of [-size, 0, size]) { c.moveTo(at, size); c.lineTo(at + size, 0); }
    c.stroke();
    colours.hatch = c.createPattern(canvas, "repeat");
  }
  function theme() {
    const button = $("theme"), order = ["auto", "light", "dark"];
    let choice = "auto";
    try { choice = localStorage.getItem("loadgen-theme") || "auto"; } catch { /* pages opened from files may have no storage */ }
    const apply = () => {
      if (choice === "auto") delete root.dataset.theme; else root.dataset.theme = choice;
      button.textContent = "Theme: " + choice;
    };
    if (!order.includes(choice)) choice = "auto";
    apply();
    button.hidden = false;
    button.addEventListener("click", () => {
      choice = order[(order.indexOf(choice) + 1) % 3];
      try { localStorage.setItem("loadgen-theme", choice); } catch { /* as above */ }
      apply();
      redraw();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  }
  redraw = () => {
    readColours();
    for (const p of plots) p.u.redraw(false, true);
    strip();
  };

  /* ---- plots ---- */
  const plots = [];
  let chartWidth = chart.clientWidth;
  const offset = (panel) => 1 + (panel.lanes ? lanes.length : 0);
  const HEIGHT = { load: 150, latency: 190, ratio: 160, replicas: 130 };
  const logScaled = new Set();

  const labelled = (v) => v > 0 && [1, 2, 5].includes(Math.round(v / 10 ** Math.floor(Math.log10(v) + 1e-9))) ? v : null;
  function isolatedPoints(data) {
    const indexes = [];
    for (let i = 0; i < data.length; i++)
      if (data[i] != null && (i === 0 || data[i - 1] == null) && (i === data.length - 1 || data[i + 1] == null)) indexes.push(i);
    return indexes;
  }

  /* Rates per second are too noisy at the scale of hours: where bins are narrower than pixels, means are drawn. */
  function binsPerPoint(panel) {
    const pixels = Math.max(100, chartWidth - LEFT - RIGHT);
    return panel.lines.some((line) => line.mean) ? Math.max(1, Math.round((view[1] - view[0]) / page.bin / pixels * 2.5)) : 1;
  }
  const means = new Map();
  function mean(field, k) {
    if (k === 1) return series[field];
    const key = field + k;
    if (!means.has(key)) {
      const raw = series[field], out = new Array(N);
      for (let i = 0; i < N; i += k) {
        let sum = 0, n = 0;
        for (let j = i; j < Math.min(N, i + k); j++) if (raw[j] != null) { sum += raw[j]; n++; }
        out.fill(n ? sum / n : null, i, Math.min(N, i + k));
      }
      means.set(key, out);
    }
    return means.get(key);
  }
  function updateMeans(plot) {
    const k = binsPerPoint(plot.panel);
    if (k === plot.k) return;
    plot.k = k;
    const first = offset(plot.panel), data = plot.u.data.slice();
    plot.panel.lines.forEach((line, j) => { if (line.mean) data[first + j] = mean(line.field, k); });
    plot.u.setData(data, false);
    const note = plot.figure.querySelector(".mean");
    if (note) note.textContent = k === 1 ? "" : ", means of " + seconds(k * page.bin);
  }

  function build(panel, host, hidden) {
    const last = panel.key === lastKey;
    const data = [T], opts = [{}];
    const log = logScaled.has(panel.key);
    if (panel.lanes) for (const lane of lanes) {
      data.push(lane);
      opts.push({ stroke: () => colours.grey, width: 1, alpha: 0.45, points: { show: false } });
    }
    for (const line of panel.lines) {
      const raw = series[line.field];
      const values = line.shape === "bars" ? raw.map((v) => v || null) : log ? raw.map((v) => v > 0 ? v : null) : raw;
      const isolated = isolatedPoints(values);
      data.push(values);
      opts.push({
        stroke: () => colours[line.colour],
        width: line.width,
        dash: line.dash.length ? line.dash : undefined,
        fill: line.shape === "area" ? () => colours[line.colour] + "33" : line.shape === "bars" ? () => colours[line.colour] : undefined,
        paths: line.shape === "bars" ? uPlot.paths.bars({ align: 1, size: [1, Infinity, 2] })
          : line.shape === "line" ? undefined : uPlot.paths.stepped({ align: 1 }),
        points: line.shape === "line" && isolated.length
          ? { show: true, filter: () => isolated, size: 4, fill: () => colours[line.colour], width: 0 } : { show: false },
      });
    }
    hidden.forEach((i) => { opts[i].show = false; });
    const u = new uPlot({
      width: chartWidth,
      height: (HEIGHT[panel.key] || 150) + (last ? 28 : 0),
      padding: [8, RIGHT, last ? 0 : 6, 0],
      legend: { show: false },
      cursor: {
        y: false, drag: { x: true, y: false }, points: { size: 6 },
        bind: { dblclick: () => () => { setView(FIRST, LAST); return null; } },
        sync: { key: "time", scales: ["x", null] },
      },
      scales: {
        x: { time: false, range: (_, min, max) => min == null ? [FIRST, LAST] : [min, max] },
        y: log
          ? { distr: 3, range: (_, min, max) => min == null ? [0.01, 1] : uPlot.rangeLog(min, Math.max(max, min * 1.01), 10, false) }
          : { range: (_, min, max) => yRange(panel, max) },
      },
      axes: [
        {
          stroke: () => colours.muted, font: "11px system-ui, sans-serif", size: last ? 28 : 0, gap: 4,
          values: last ? (_, at) => at.map((t) => clock(t, true)) : () => [],
          incrs: [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200], space: 64,
          grid: { stroke: () => colours.rule, width: 1 }, ticks: { show: last, stroke: () => colours.rule, size: 4 },
        },
        {
          stroke: () => colours.muted, font: "11px system-ui, sans-serif", size: LEFT, gap: 4, space: 26,
          incrs: panel.integer ? [1, 2, 5, 10, 20, 50, 100, 200, 500] : undefined,
          grid: { stroke: () => colours.rule, width: 1, ...(log && { filter: (_, at) => at.map(labelled) }) }, ticks: { show: false },
          values: (_, at) => at.map((v) => v == null ? "" : digits(v, 4)),
        },
      ],
      series: opts,
      hooks: {
        drawClear: [(u) => drawSpans(u, panel)],
        draw: [(u) => drawThresholds(u, panel), drawMarkLines],
        setScale: [(u, key) => { if (key === "x") onZoom(u); }],
        setCursor: [(u) => { cursorPlot = u; if (!readoutQueued) { readoutQueued = true; requestAnimationFrame(updateReadout); } }],
      },
    }, data, host);
    return u;
  }

  function yRange(panel, max) {
    let top = max == null ? 0 : max;
    for (const [, value] of panel.thresholds) if (value <= Math.max(top * 2.5, top ? 0 : value)) top = Math.max(top, value * 1.04);
    if (panel.integer) return [0, Math.max(1, top) + 0.35];
    return [0, top > 0 ? top * 1.08 : 1];
  }

  const px = (n) => n * devicePixelRatio;
  function drawSpans(u, panel) {
    const { ctx, bbox } = u;
    const paint = (span, fill) => {
      const a = Math.max(bbox.left, u.valToPos(span[1], "x", true));
      const b = Math.min(bbox.left + bbox.width, u.valToPos(span[2], "x", true));
      if (b > a) { ctx.fillStyle = fill; ctx.fillRect(a, bbox.top, b - a, bbox.height); }
    };
    ctx.save();
    page.stages.forEach((span, i) => { if (i % 2) paint(span, colours.band); });
    page.lags.forEach((span) => paint(span, colours.hatch));
    if (panel.key === "latency") page.unknown.forEach((span) => paint(["", ...span], colours.vermillion + "26"));
    ctx.restore();
  }

  function drawMarkLines(u) {
    const { ctx, bbox } = u;
    const count = page.marks.filter(([t, key]) => page.symbols[key].line && t >= view[0] && t <= view[1]).length;
    /* Many lines are drawn fainter, so that the series stay visible. */
    const alpha = Math.max(0.15, Math.min(0.55, 12 / Math.max(1, count)));
    ctx.save();
    for (const [t, key] of page.marks) {
      const symbol = page.symbols[key], x = Math.round(u.valToPos(t, "x", true));
      if (!symbol.line || x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colours[symbol.colour];
      ctx.globalAlpha = alpha;
      ctx.lineWidth = px(1);
      ctx.setLineDash(symbol.shape === "disc" ? [px(1), px(3)] : symbol.shape === "cross" ? [] : [px(4), px(3)]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  function drawThresholds(u, panel) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `${px(11)}px system-ui, sans-serif`;
    ctx.textBaseline = "alphabetic";
    const labels = [];
    for (const [label, value] of [...panel.thresholds].sort((a, b) => b[1] - a[1])) {
      const above = value > u.scales.y.max;
      const y = above ? bbox.top + px(1) : Math.round(u.valToPos(value, "y", true));
      if (!above) {
        ctx.strokeStyle = colours.vermillion;
        ctx.lineWidth = px(1.5);
        ctx.setLineDash([8, 3, 2, 3].map(px));
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
      }
      /* Labels are beside the plot; a label that overlaps the one above moves down. */
      let labelY = above ? bbox.top + px(8) : y + px(4);
      for (const other of labels) if (Math.abs(other - labelY) < px(12)) labelY = other + px(12);
      labels.push(labelY);
      ctx.fillStyle = colours.vermillion;
      ctx.textAlign = "left";
      ctx.fillText(above ? "↑ " + label : label, bbox.left + bbox.width + px(4), labelY);
    }
    ctx.restore();
  }

  /* ---- strip: stages, lag windows, marks ---- */
  const SHAPES = {
    up: "M0-5L5 4H-5Z", down: "M0 5L5-4H-5Z", disc: "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z", ring: "M-3.4 0A3.4 3.4 0 1 0 3.4 0A3.4 3.4 0 1 0-3.4 0Z",
    cross: "M-4-4L4 4M4-4L-4 4", diamond: "M0-5L5 0L0 5L-5 0Z", tick: "M0-5V5",
  };
  function make(name, attributes, parent, text) {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text != null) node.textContent = text;
    parent.append(node);
    return node;
  }
  /* Marks that would overlap are drawn in up to three rows. Zooming out needs the most rows, which sets the height. */
  function markRows(min, max, inner) {
    const rows = new Map(), ends = [-Infinity, -Infinity, -Infinity];
    for (const mark of page.marks) {
      const x = (mark[0] - min) / (max - min) * inner;
      const free = ends.findIndex((end) => end <= x), row = free < 0 ? ends.length - 1 : free;
      ends[row] = x + 10;
      rows.set(mark, row);
    }
    return rows;
  }
  function strip() {
    const host = $("strip"), width = chartWidth, inner = width - LEFT - RIGHT, [min, max] = view;
    const x = (t) => LEFT + (t - min) / (max - min) * inner;
    const events = page.lags.length ? 40 : 30, rows = markRows(FIRST, LAST, inner), last = Math.max(0, ...rows.values());
    const height = page.marks.length ? events + 12 + 11 * last : page.lags.length ? 30 : 20;
    host.style.height = height + "px";
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    const clip = (a, b) => [Math.max(LEFT, x(a)), Math.min(LEFT + inner, x(b))];
    for (const [text, y] of [["stage", 13], page.lags.length ? ["lag", 26] : ["", 26], page.marks.length ? ["events", events + 4] : ["", 0]])
      make("text", { x: LEFT - 6, y, "text-anchor": "end" }, svg, text);
    page.stages.forEach(([name, from, to], i) => {
      const [a, b] = clip(from, to);
      if (b - a < 1) return;
      const group = make("g", {}, svg);
      make("title", {}, group, `${name}: ${clock(from)}–${clock(to)}`);
      make("rect", { x: a, y: .5, width: b - a, height: 17, class: i % 2 ? "stage odd" : "stage" }, group);
      const maxCharacters = Math.floor((b - a - 8) / 6.2);
      if (maxCharacters >= Math.min(5, name.length)) make("text", { x: a + 4, y: 13 }, group, name.length <= maxCharacters ? name : name.slice(0, maxCharacters - 1) + "…");
    });
    for (const [name, from, to] of page.lags) {
      const [a, b] = clip(from, to);
      if (b <= a) continue;
      const bar = make("rect", { x: a, y: 20, width: Math.max(2, b - a), height: 7, class: "lag" }, svg);
      make("title", {}, bar, `${name}: ${clock(from)}–${clock(to)}`);
    }
    if (page.marks.length) make("path", { d: `M${LEFT} ${events}H${LEFT + inner}`, class: "line" }, svg);
    const shownRows = markRows(min, max, inner);
    for (const mark of page.marks) {
      const [t, key, label] = mark;
      if (t < min || t > max) continue;
      const symbol = page.symbols[key], open = ["ring", "cross", "tick"].includes(symbol.shape);
      const node = make("path", { d: SHAPES[symbol.shape], transform: `translate(${x(t)} ${events + 11 * shownRows.get(mark)})`, class: `s c-${symbol.colour}${open ? " open" : ""}` }, svg);
      make("title", {}, node, `${clock(t, true)} ${label}`);
    }
    host.replaceChildren(svg);
  }

  /* ---- one time axis ---- */
  let view = [FIRST, LAST], zooming = false, cursorPlot = null, readoutQueued = false, announceTimer = 0;
  function onZoom(u) {
    const { min, max } = u.scales.x;
    if (zooming || min == null) return;
    setView(min, max);
  }
  function setView(min, max) {
    const span = Math.min(Math.max(max - min, 2 * page.bin), LAST - FIRST);
    min = Math.max(FIRST, Math.min(min, LAST - span));
    view = [min, min + span];
    zooming = true;
    for (const { u } of plots)
      if (u.scales.x.min !== view[0] || u.scales.x.max !== view[1]) u.setScale("x", { min: view[0], max: view[1] });
    zooming = false;
    plots.forEach(updateMeans);
    chart.querySelector("[data-do=reset]").disabled = view[0] === FIRST && view[1] === LAST;
    if (!stripQueued) { stripQueued = true; requestAnimationFrame(() => { stripQueued = false; strip(); }); }
  }
  let stripQueued = false;

  function moveCursor(i, announce) {
    i = Math.max(0, Math.min(N - 1, i));
    if (T[i] < view[0] || T[i] > view[1]) { const half = (view[1] - view[0]) / 2; setView(T[i] - half, T[i] + half); }
    requestAnimationFrame(() => {
      for (const { u } of plots) u.setCursor({ left: u.valToPos(T[i], "x"), top: 10 });
      if (announce) { clearTimeout(announceTimer); announceTimer = setTimeout(() => { $("live").textContent = describe(i); }, 300); }
    });
  }
  const spansAt = (spans, t) => spans.filter((s) => t >= s[1] && t < s[2]).map((s) => s[0]);
  function marksNear(t, reach) {
    return page.marks.filter((m) => Math.abs(m[0] - t) <= reach).map((m) => `${clock(m[0], true)} ${m[2]}`);
  }
  function describe(i) {
    const parts = [clock(T[i], true), ...spansAt(page.stages, T[i]), ...spansAt(page.lags, T[i])];
    for (const { panel } of plots) for (const line of panel.lines) {
      const v = series[line.field][i];
      if (v != null) parts.push(`${line.label} ${formatters[panel.unit](v)}`);
    }
    return [...parts, ...marksNear(T[i], page.bin)].join(", ");
  }
  function updateReadout() {
    readoutQueued = false;
    const u = cursorPlot, i = u.cursor.idx, outside = i == null || u.cursor.left < 0;
    for (const plot of plots) for (const button of plot.figure.querySelectorAll("[data-series]")) {
      const panel = plot.panel;
      const out = button.querySelector("output");
      if (outside) { out.textContent = ""; continue; }
      if (button.dataset.series === "lanes") {
        const alive = lanes.map((lane) => lane[i]).filter((v) => v != null);
        out.textContent = alive.length ? alive.length === 1 ? plain(alive[0]) : `${plain(Math.min(...alive))}–${plain(Math.max(...alive))}` : "";
      } else {
        const j = +button.dataset.series, line = panel.lines[j];
        const v = line.mean ? plot.u.data[offset(panel) + j][i] : series[line.field][i];
        out.textContent = v == null ? "–" : formatters[panel.unit](v);
      }
    }
    const readout = $("readout"), tip = $("tip");
    if (outside) { tip.hidden = true; return; }
    const bold = document.createElement("b");
    bold.textContent = clock(T[i], true);
    const inside = [...spansAt(page.stages, T[i]), ...spansAt(page.lags, T[i])].join(" · ");
    readout.replaceChildren(bold, inside);
    updateTooltip(u, i);
  }
  function updateTooltip(u, i) {
    const tip = $("tip"), source = plots.find((p) => p.u.over.matches(":hover")) || null;
    if (!source) { tip.hidden = true; return; }
    const t = source.u.posToVal(source.u.cursor.left, "x");
    const rows = marksNear(t, 5 / source.u.over.clientWidth * (view[1] - view[0]));
    if (source.panel.lanes) lanes.forEach((lane, k) => {
      const pod = page.lanes[k].pods.find((p) => i >= p[0] && i <= p[1]);
      if (pod && lane[i] != null && rows.length < 12) rows.push(`${pod[2]}: ${plain(lane[i])}`);
    });
    tip.hidden = rows.length === 0;
    if (tip.hidden) return;
    tip.replaceChildren(...rows.slice(0, 12).map((row) => { const p = document.createElement("p"); p.textContent = row; return p; }));
    const box = source.u.over.getBoundingClientRect(), outer = chart.getBoundingClientRect();
    const left = box.left - outer.left + source.u.cursor.left;
    tip.style.top = box.top - outer.top + 6 + "px";
    tip.style.left = Math.max(0, left + 12 + tip.offsetWidth > outer.width ? left - 12 - tip.offsetWidth : left + 12) + "px";
  }

  /* ---- draw ---- */
  const drawn = page.panels.filter((panel) => panel.measured);
  const lastKey = drawn.length ? drawn[drawn.length - 1].key : "";
  readColours();
  for (const panel of drawn) {
    const figure = $("panel-" + panel.key), host = figure.querySelector(".plot");
    plots.push({ panel, figure, host, u: build(panel, host, []) });
  }
  setView(FIRST, LAST);
  strip();
  queueMicrotask(() => { root.dataset.drawMs = (performance.now() - startedMs).toFixed(0); });

  /* ---- controls ---- */
  for (const plot of plots) {
    for (const button of plot.figure.querySelectorAll("[data-series]")) button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true", first = offset(plot.panel);
      button.setAttribute("aria-pressed", on);
      const which = button.dataset.series === "lanes" ? lanes.map((_, k) => k + 1) : [first + +button.dataset.series];
      plot.u.batch(() => which.forEach((k) => plot.u.setSeries(k, { show: on })));
    });
    const log = plot.figure.querySelector("[data-log]");
    if (log) log.addEventListener("click", () => {
      const on = log.getAttribute("aria-pressed") !== "true";
      log.setAttribute("aria-pressed", on);
      if (on) logScaled.add(plot.panel.key); else logScaled.delete(plot.panel.key);
      const hidden = plot.u.series.map((s, k) => s.show ? 0 : k).filter(Boolean);
      plot.u.destroy();
      plot.u = build(plot.panel, plot.host, hidden);
      plot.u.setScale("x", { min: view[0], max: view[1] });
      addTouch(plot);
    });
    addTouch(plot);
  }
  /* On a touch screen a drag moves the crosshair, and buttons zoom. */
  function addTouch(plot) {
    const move = (event) => {
      const box = plot.u.over.getBoundingClientRect();
      moveCursor(plot.u.posToIdx(event.touches[0].clientX - box.left), false);
    };
    plot.u.over.addEventListener("touchstart", move, { passive: true });
    plot.u.over.addEventListener("touchmove", move, { passive: true });
  }
  const cursorIndex = () => { const i = plots[0].u.cursor.idx; return i == null ? plots[0].u.valToIdx((view[0] + view[1]) / 2) : i; };
  const actions = {
    reset: () => setView(FIRST, LAST),
    in: () => zoom(0.5),
    out: () => zoom(2),
    left: () => pan(-0.4),
    right: () => pan(0.4),
    before: () => stepToMark(-1),
    after: () => stepToMark(1),
  };
  function zoom(factor) {
    const i = plots[0].u.cursor.idx, middle = i == null ? (view[0] + view[1]) / 2 : T[i];
    const span = (view[1] - view[0]) * factor, share = i == null ? 0.5 : (middle - view[0]) / (view[1] - view[0]);
    setView(middle - span * share, middle + span * (1 - share));
  }
  function pan(share) { const by = (view[1] - view[0]) * share; setView(view[0] + by, view[1] + by); }
  function stepToMark(direction) {
    const t = T[cursorIndex()], times = page.marks.map((m) => m[0]).filter((m) => (m - t) * direction > page.bin);
    if (times.length) moveCursor(plots[0].u.valToIdx(direction > 0 ? Math.min(...times) : Math.max(...times)), true);
  }
  for (const button of chart.querySelectorAll("[data-do]")) button.addEventListener("click", () => actions[button.dataset.do]());
  chart.addEventListener("keydown", (event) => {
    if (event.target.closest("select, .toolbar button") && event.key !== "Escape" || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = event.shiftKey ? 10 : 1;
    const keys = {
      ArrowLeft: () => moveCursor(cursorIndex() - by, true), ArrowRight: () => moveCursor(cursorIndex() + by, true),
      Home: () => moveCursor(plots[0].u.valToIdx(view[0]), true), End: () => moveCursor(plots[0].u.valToIdx(view[1]), true),
      "+": actions.in, "=": actions.in, "-": actions.out, Escape: actions.reset, "[": actions.before, "]": actions.after,
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  const select = $("zoom-to");
  const spans = [["Whole run", FIRST, LAST], ...page.stages, ...page.events];
  const groups = [["", spans.slice(0, 1)], ["Stages", page.stages], ["Scaling events", page.events]];
  for (const [label, members] of groups) {
    if (!members.length) continue;
    const parent = label ? document.createElement("optgroup") : select;
    if (label) { parent.label = label; select.append(parent); }
    for (const span of members) parent.append(new Option(span[0], spans.indexOf(span)));
  }
  select.addEventListener("change", () => {
    if (select.value !== "") setView(spans[+select.value][1], spans[+select.value][2]);
    select.value = "";
  });

  /* ---- size, printing, file ---- */
  const resize = (width) => {
    chartWidth = width;
    for (const p of plots) p.u.setSize({ width, height: p.u.height });
    plots.forEach(updateMeans);
    strip();
  };
  let printing = false;
  new ResizeObserver(() => { if (!printing && chart.clientWidth && chart.clientWidth !== chartWidth) resize(chart.clientWidth); }).observe(chart);
  let themeBefore;
  addEventListener("beforeprint", () => {
    printing = true;
    themeBefore = root.dataset.theme;
    root.dataset.theme = "light";
    redraw();
    resize(680);
  });
  addEventListener("afterprint", () => {
    printing = false;
    if (themeBefore) root.dataset.theme = themeBefore; else delete root.dataset.theme;
    redraw();
    resize(chart.clientWidth);
  });
  const csv = $("csv");
  if (csv) {
    csv.hidden = false;
    csv.addEventListener("click", () => {
      const names = Object.keys(series), rows = [["t_s", ...names].join(",")];
      for (let i = 0; i < N; i++) rows.push([T[i], ...names.map((name) => series[name][i] ?? "")].join(","));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/csv" }));
      link.download = "timeline.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
})();
