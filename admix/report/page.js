// SPDX-License-Identifier: GPL-3.0-or-later
// Draws the charts of the page. Without it the page has pictures in their place.
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const all = (query) => Array.from(document.querySelectorAll(query));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");

  // ---- theme ---------------------------------------------------------------------------------------------
  const themes = ["auto", "light", "dark"];
  let theme = "auto";
  const isDark = () => theme === "dark" || (theme === "auto" && dark.matches);
  function setTheme(name) {
    theme = name;
    if (name === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = name;
    byId("theme").textContent = `Theme: ${name}`;
    try { localStorage.setItem("admix-theme", name); } catch { /* a file may not be allowed to remember */ }
  }
  try { theme = themes.includes(localStorage.getItem("admix-theme")) ? localStorage.getItem("admix-theme") : "auto"; } catch { /* as above */ }
  setTheme(theme);
  byId("theme").addEventListener("click", () => {
    setTheme(themes[(themes.indexOf(theme) + 1) % 3]);
    redraw();
  });
  dark.addEventListener("change", () => redraw());

  // ---- small things --------------------------------------------------------------------------------------
  for (const button of all("button.copy")) {
    const before = button.textContent;
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre").textContent;
      let done = true;
      try { await navigator.clipboard.writeText(text); } catch {
        const range = document.createRange();
        range.selectNodeContents(button.parentElement.querySelector("pre"));
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        done = false;
      }
      button.textContent = done ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  }
  for (const select of all("select.chooser")) {
    select.addEventListener("change", () => {
      Array.from(byId(select.dataset.target).children).forEach((part, k) => { part.hidden = k !== Number(select.value); });
    });
  }
  if ("IntersectionObserver" in window) {
    const links = new Map(all(".contents a").map((a) => [a.getAttribute("href").slice(1), a]));
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((a) => a.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-20% 0px -70% 0px" });
    all("main > section").forEach((section) => seen.observe(section));
  }

  // ---- charts --------------------------------------------------------------------------------------------
  const block = byId("charts");
  if (block === null) return;
  const { charts, colours } = JSON.parse(block.textContent);
  const settings = {};
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const colour = (k) => colours[isDark() ? "dark" : "light"][k];
  const faint = (hex, alpha) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${alpha})`;
  // Plotly reads tags and templates in text; names of a scenario are neither.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "%\u200b{");
  const short = (value) => (value === null ? "–" : String(Number(value.toPrecision(3))));
  const narrow = (box) => box.clientWidth < 560;

  function axis(more) {
    return {
      gridcolor: css("--rule"), linecolor: css("--soft"), zeroline: false, ticks: "outside", tickcolor: css("--soft"),
      ticklen: 4, automargin: true, ...more, title: { text: more.title ?? "", standoff: 8, font: { size: 13 } },
    };
  }
  function layout(box, more) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", showlegend: false,
      font: { family: css("--sans"), size: narrow(box) ? 11 : 13, color: css("--ink") },
      margin: { l: 52, r: 14, t: 24, b: 46 }, dragmode: coarse.matches ? false : "zoom", autosize: true,
      hoverlabel: { bgcolor: css("--paper"), bordercolor: css("--soft"), font: { color: css("--ink"), size: 13 }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--ink") },
      legend: { orientation: "h", x: 0, xanchor: "left", y: -0.2, yanchor: "top", font: { size: 12.5 } },
      ...more,
    };
  }
  function show(box, traces, more) {
    const name = box.id.replace(/[^\w-]/g, "_");
    return Plotly.react(box, traces, layout(box, more), {
      responsive: true, displaylogo: false, displayModeBar: coarse.matches ? false : "hover", doubleClick: "reset",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
      toImageButtonOptions: { format: "svg", filename: name, width: 900, height: 520 },
    });
  }
  function band(x, low, high, fill, more) {
    const edge = { x, mode: "lines", line: { width: 0, color: fill }, hoverinfo: "skip", showlegend: false, ...more };
    return [{ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: fill }];
  }
  function years(chart, g) {
    const { g: x, years: y } = chart.clock;
    let k = 0;
    while (k < x.length - 2 && x[k + 1] < g) k += 1;
    const part = x.length > 1 ? (g - x[k]) / (x[k + 1] - x[k]) : 0;
    return x.length > 1 ? y[k] + part * (y[k + 1] - y[k]) : y[0];
  }
  const thousands = new Intl.NumberFormat("en");
  const ago = (value) => (value < 0.5 ? "today" : `${thousands.format(Math.round(value))} years ago`);

  function lines(chart, upto) {
    const traces = [];
    for (const line of chart.lines) {
      const n = upto ? line.g.filter((g) => g <= upto).length : line.g.length;
      const cut = (values) => values.slice(0, n);
      const hue = colour(line.colour);
      if (line.low) traces.push(...band(cut(line.g), cut(line.low), cut(line.high), faint(hue, 0.25)));
      traces.push({
        x: cut(line.g), y: cut(line.y), name: plain(line.name), mode: upto ? "lines+markers" : "lines",
        marker: { size: 6, color: hue }, line: { color: hue, width: 2.2, dash: line.dash },
        customdata: cut(line.g).map((g, k) => [ago(years(chart, g)), short(line.p05[k]), short(line.p95[k]),
          line.low ? `<br>replicates ${short(line.low[k])} to ${short(line.high[k])} %` : ""]),
        hovertemplate: `<b>${plain(line.name)}: %{y:.3g} %</b><br>generation %{x:,d}, %{customdata[0]}`
          + "<br>nine in ten people %{customdata[1]} to %{customdata[2]} %%{customdata[3]}<extra></extra>",
      });
    }
    return traces;
  }

  // The name and the last value of each line, to the right of its end; those that would touch are moved apart.
  function ends(found, linear) {
    const labels = found.map((line) => ({ line, y: line.y[line.y.length - 1] })).filter((l) => l.y !== null);
    const log = !linear && found.every((line) => line.y.every((y) => y === null || y > 0));
    labels.sort((a, b) => a.y - b.y);
    let shift = 0;
    return labels.map(({ line, y }, k) => {
      if (k > 0) shift = y / labels[k - 1].y < 1.16 ? shift + 30 : 0;
      return { xref: "paper", x: 1.005, xanchor: "left", y: log ? Math.log10(y) : y, yanchor: "middle", yshift: shift, align: "left",
        showarrow: false, text: `<b>${plain(line.name).replace(", ", ",<br>")}</b><br>${short(y)} %`, font: { color: colour(line.colour), size: 12.5 } };
    });
  }

  const draw = {
    trajectory(box, chart) {
      const linear = Boolean(settings[box.id]?.linear);
      const traces = [];
      for (const line of chart.theory) {
        traces.push(...band(line.g, line.low, line.high, faint(colour(line.colour), 0.1)));
      }
      chart.theory.forEach((line, k) => {
        traces.push({
          x: line.g, y: line.y, mode: "lines", name: "theory, before the run", showlegend: k === 0, legendgroup: "theory",
          line: { color: faint(colour(line.colour), 0.4), width: 5 },
          customdata: line.g.map((_, i) => [short(line.low[i]), short(line.high[i])]),
          hovertemplate: "theory: %{y:.3g} %<br>generation %{x:,d}<br>95 % of single runs %{customdata[0]} to %{customdata[1]} %<extra></extra>",
        });
      });
      if (chart.ancient.length) {
        const hue = css("--soft");
        traces.push({
          x: chart.ancient.map((p) => p.g), y: chart.ancient.map((p) => p.y), mode: "markers", name: "ancient genomes, ± 1 SE",
          error_y: { type: "data", array: chart.ancient.map((p) => p.se), color: hue, thickness: 1, width: 0 },
          marker: { size: 6.5, color: hue, line: { width: 1, color: css("--paper") } },
          customdata: chart.ancient.map((p) => [plain(p.sample), ago(p.years), short(p.se)]),
          hovertemplate: "<b>%{customdata[0]}</b><br>%{y:.2f} ± %{customdata[2]} %<br>%{customdata[1]}<extra></extra>",
        });
      }
      traces.push(...lines(chart).map((trace) => ({ ...trace, showlegend: narrow(box) && trace.hovertemplate !== undefined })));
      // carries the axis of years
      traces.push({ x: [1], y: [null], xaxis: "x2", mode: "lines", hoverinfo: "skip", showlegend: false });
      const shapes = chart.living ? [{
        type: "rect", xref: "paper", x0: 0, x1: 1, y0: chart.living[0], y1: chart.living[1], layer: "below",
        fillcolor: css("--living"), opacity: 0.18, line: { width: 0 },
      }] : [];
      const notes = chart.living ? [{
        xref: "paper", x: 0.005, xanchor: "left", y: linear ? chart.living[0] : Math.log10(chart.living[0]), yanchor: "top",
        text: "living non-Africans", showarrow: false, font: { color: css("--living"), size: 12 },
      }] : [];
      const few = narrow(box);
      if (!few) notes.push(...ends(chart.lines, linear));
      const ticks = few ? [1, 2, 5, 10, 50, 200, 1000, 5000] : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
      const inside = ticks.filter((g) => g <= chart.last);
      const range = linear ? [0, chart.last * 1.02] : [Math.log10(0.93), Math.log10(chart.last * 1.06)];
      const values = chart.lines.flatMap((line) => line.y).filter((y) => y !== null);
      const theory = chart.theory.flatMap((line) => line.y).filter((y) => y !== null);
      const positive = [...values, ...theory, ...(chart.living ?? [])].filter((y) => y > 0);
      const top = Math.max(...positive), low = Math.min(...positive);
      const log = !linear && values.every((y) => y > 0);
      const tops = chart.years.g.map((g, k) => [g, chart.years.text[k]]).filter((_, k) => !few || k % 2 === 0);
      return show(box, traces, {
        height: few ? 420 : 520, shapes, annotations: notes, showlegend: true, margin: { l: 52, r: few ? 14 : 132, t: 52, b: 46 },
        xaxis: axis({ title: linear ? "generation" : few ? "generation (log scale)" : "generation (1 is the mixed founding cohort; log scale)", type: linear ? "linear" : "log",
          range, tickmode: linear ? "auto" : "array", tickvals: inside, ticktext: inside.map((g) => g.toLocaleString("en")) }),
        xaxis2: axis({ title: "thousand years ago", type: linear ? "linear" : "log", overlaying: "x", side: "top", range, matches: "x",
          showgrid: false, tickmode: "array", tickvals: linear ? [] : tops.map((t) => t[0]), ticktext: tops.map((t) => t[1]) }),
        yaxis: axis({ title: `${plain(chart.who)} ancestry (% of DNA)`, type: log ? "log" : "linear",
          range: log ? [Math.log10(low / (chart.ancient.length ? 1.9 : 1.3)), Math.log10(top * 1.15)] : [0, top * 1.06],
          tickmode: log ? "array" : "auto",
          tickvals: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 30, 50, 100], ticktext: ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "3", "5", "10", "20", "30", "50", "100"] }),
      });
    },
    early(box, wanted) {
      const chart = charts[wanted.of];
      return show(box, lines(chart, 20), {
        height: 320, showlegend: true, legend: narrow(box) ? { orientation: "h", x: 0, y: -0.25, yanchor: "top" } : { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
        xaxis: axis({ title: "generation", range: [0.5, Math.min(20, chart.last) + 0.5], dtick: narrow(box) ? 5 : 1, tick0: 0 }),
        yaxis: axis({ title: "% of DNA", rangemode: "tozero" }),
      });
    },
    spread(box, panels) {
      const columns = panels.length > 1 && box.clientWidth > 640 ? 2 : 1;
      const rows = Math.ceil(panels.length / columns);
      const more = { height: rows * (narrow(box) ? 400 : 440) + 40, bargap: 0, annotations: [], margin: { l: 56, r: 10, t: 28, b: 46 } };
      const traces = [];
      let count = 0;
      panels.forEach((panel, p) => {
        const left = (p % columns) / columns + (p % columns ? 0.045 : 0), right = (p % columns + 1) / columns - (columns > 1 && p % columns === 0 ? 0.045 : 0);
        const bottom = 1 - (Math.floor(p / columns) + 1) / rows + (rows > 1 ? 0.07 : 0), top = 1 - Math.floor(p / columns) / rows - 0.03;
        const least = Math.min(...panel.strips.flatMap((s) => s.share.filter((v) => v > 0)));
        const floor = Math.floor(Math.log10(least / 2));
        const ax = p === 0 ? "" : String(p + 1);
        const widest = Math.max(...panel.strips.map((s) => s.share.length * s.step));
        const marks = [0, 1, 5, 10, 20, 30, 50, 75, 100].filter((v) => v <= Math.max(widest, 10));
        const last = count + panel.strips.length;
        more[`xaxis${ax}`] = axis({ title: "ancestry of one person (% of DNA)", domain: [left, right], anchor: `y${last === 1 ? "" : last}`,
          range: [0, Math.sqrt(Math.min(100, widest * 1.04))], tickvals: marks.map(Math.sqrt), ticktext: marks.map(String) });
        const high = (top - bottom) / panel.strips.length;
        more.annotations.push({ xref: "paper", yref: "paper", x: left, xanchor: "left", y: top + 0.005, yanchor: "bottom", showarrow: false,
          text: `<b>${plain(panel.name)}</b>`, font: { color: colour(panel.colour), size: 14 } });
        panel.strips.forEach((strip, s) => {
          count += 1;
          const ay = count === 1 ? "" : String(count);
          const upper = top - s * high;
          const exponents = [2, 0, -2, -4].filter((e) => e >= floor);
          more[`yaxis${ay}`] = axis({ domain: [upper - high * 0.86, upper], anchor: `x${ax}`, range: [0, 2.05 - floor], fixedrange: true,
            tickvals: exponents.map((e) => e - floor), ticktext: exponents.map((e) => String(10 ** e)),
            title: s === Math.floor((panel.strips.length - 1) / 2) && p % columns === 0 ? "people in each 0.5 % bin (%, log scale)" : "" });
          const edges = strip.share.map((_, k) => [k * strip.step, (k + 1) * strip.step]);
          traces.push({
            type: "bar", xaxis: `x${ax}`, yaxis: `y${ay}`, marker: { color: faint(colour(panel.colour), 0.6), line: { width: 0 } },
            x: edges.map(([a, b]) => (Math.sqrt(a) + Math.sqrt(b)) / 2), width: edges.map(([a, b]) => Math.sqrt(b) - Math.sqrt(a)),
            y: strip.share.map((v) => (v > 0 ? Math.log10(v) - floor : 0)),
            customdata: strip.share.map((v, k) => [short(v), `${short(edges[k][0])}–${short(edges[k][1])}`]),
            hovertemplate: `generation ${strip.g}<br>%{customdata[0]} % of people<br>have %{customdata[1]} %<extra></extra>`,
          });
          if (strip.mean !== null) {
            traces.push({ xaxis: `x${ax}`, yaxis: `y${ay}`, x: [Math.sqrt(strip.mean)], y: [0.12], mode: "markers", cliponaxis: false,
              marker: { symbol: "triangle-up", size: 11, color: css("--ink") }, hovertemplate: `generation ${strip.g}<br>mean ${short(strip.mean)} %<extra></extra>` });
          }
          more.annotations.push({ xref: "paper", yref: "paper", x: right, xanchor: "right", y: upper, yanchor: "top", showarrow: false,
            text: `generation ${strip.g}${strip.mean === null ? "" : `, mean ${short(strip.mean)} %`}`, font: { size: 12, color: css("--soft") } });
        });
      });
      return show(box, traces, more);
    },
    load(box, found) {
      const traces = [];
      const last = Math.max(...found.map((line) => Math.max(...line.fitness.g, ...line.load.g)));
      for (const line of found) {
        const hue = colour(line.colour);
        for (const [key, y, word] of [["fitness", "y", "mean log fitness"], ["load", "y2", "log fitness lost"]]) {
          const part = line[key];
          const several = part.min.some((v, k) => v !== part.max[k]);
          if (several) traces.push(...band(part.g, part.min, part.max, faint(hue, 0.2), { yaxis: y }));
          traces.push({
            x: part.g, y: part.mean, yaxis: y, mode: "lines", name: plain(line.name), showlegend: key === "fitness", line: { color: hue, width: 2.2 },
            hovertemplate: `<b>${plain(line.name)}</b><br>generation %{x:,d}<br>${word} %{y:.4g}<extra></extra>`,
          });
        }
      }
      const ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].filter((g, k) => g <= last && (!narrow(box) || k % 3 === 0));
      return show(box, traces, {
        height: 560, showlegend: true, legend: { orientation: "h", x: 0, y: -0.12, yanchor: "top" },
        xaxis: axis({ title: "generation (log scale)", type: "log", range: [Math.log10(0.93), Math.log10(last * 1.06)], anchor: "y2",
          tickvals: ticks, ticktext: ticks.map((g) => g.toLocaleString("en")) }),
        yaxis: axis({ title: "mean log fitness", domain: [0.54, 1] }),
        yaxis2: axis({ title: "load of archaic alleles", domain: [0, 0.44], rangemode: "tozero" }),
      });
    },
    overview(box, wanted) {
      const chart = charts[wanted.of];
      const b = settings[box.id]?.branch ?? 0, last = chart.generations[chart.generations.length - 1];
      const line = chosen(chart, b, last, "mean") ?? chosen(chart, b, last, "one");
      const bin = Math.max(1, Math.round(2e6 / chart.step));
      const z = chart.chroms.map((_, c) => binned(line, chart.first[c], chart.first[c + 1], bin));
      const longest = Math.max(...z.map((row) => row.length));
      const grid = z.map((row) => [...row, ...Array(longest - row.length).fill(null)]);
      const sorted = grid.flat().filter((v) => v !== null).sort((a, b) => a - b);
      const top = sorted[Math.floor(0.99 * (sorted.length - 1))] || 1;
      const size = bin * chart.step / 1e6;
      const done = show(box, [{
        type: "heatmap", z: grid, x: Array.from({ length: longest }, (_, k) => (k + 0.5) * size), y: chart.chroms.map((c) => `chr ${plain(c)}`),
        zmin: 0, zmax: top, colorscale: "Cividis", xgap: 0, ygap: 2, hoverongaps: false,
        colorbar: { title: { text: "%", side: "top" }, thickness: 12, len: 0.8, outlinewidth: 0 },
        hovertemplate: "%{y}, %{x:.0f} Mb<br>%{z:.2f} %<extra></extra>",
      }], {
        height: 60 + 19 * Math.max(4, chart.chroms.length), margin: { l: 52, r: 10, t: 10, b: 44 },
        xaxis: axis({ title: `position (Mb), ${plain(chart.branches[b].name)}`, showgrid: false }),
        yaxis: axis({ autorange: "reversed", showgrid: false, ticks: "", fixedrange: true, type: "category" }),
      });
      box.removeAllListeners?.("plotly_click");
      box.on("plotly_click", (event) => {
        const select = document.querySelector(`select[data-chromosome="${CSS.escape(wanted.of)}"]`);
        select.value = String(event.points[0].pointNumber[0]);
        select.dispatchEvent(new Event("change"));
      });
      return done;
    },
    genome(box, chart) {
      const c = settings[box.id]?.chromosome ?? 0;
      const g = settings[box.id]?.generation ?? chart.generations[chart.generations.length - 1];
      const from = chart.first[c], to = chart.first[c + 1];
      const bin = Math.max(1, Math.round((settings[box.id]?.window ?? 1) / chart.step));
      const x = Array.from({ length: Math.ceil((to - from) / bin) }, (_, k) => (k + 0.5) * bin * chart.step / 1e6);
      const values = (packed) => binned(unpacked(packed, chart.missing), from, to, bin);
      const panels = chart.track ? 4 : 3;
      const traces = [], shapes = [];
      chart.branches.forEach((branch, b) => {
        for (const kind of ["mean", "one"]) {
          const line = chart.lines.find((l) => l.branch === b && l.g === g && l.kind === kind);
          if (line === undefined) continue;
          const hue = colour(branch.colour);
          traces.push({
            x, y: values(line), mode: "lines", connectgaps: false, name: plain(branch.name) + (kind === "mean" ? ", mean of replicates" : ""),
            line: { color: kind === "mean" ? faint(hue, 0.35) : hue, width: kind === "mean" ? 3 : 1.4, shape: "hvh" },
            hovertemplate: `<b>${plain(branch.name)}: %{y:.2f} %</b><br>%{x:.2f} Mb<extra></extra>`,
          });
        }
        const found = chart.deserts.find((d) => d.branch === b);
        for (const [name, start, end] of found && g === chart.generations[chart.generations.length - 1] ? found.list : []) {
          if (name !== chart.chroms[c]) continue;
          shapes.push({ type: "rect", x0: start, x1: end, yref: "paper", y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: css("--desert") });
        }
      });
      const grey = css("--soft");
      const under = [...(chart.track ? [[chart.track, `${plain(chart.track.name)} (${chart.track.unit})`, css("--living")]] : []),
        [chart.functional, "functional bases (%)", grey], [chart.rate, "recombination (cM/Mb)", grey]];
      under.forEach(([packed, name, hue], k) => {
        traces.push({
          x, y: values(packed), yaxis: `y${k + 2}`, mode: "lines", line: { color: hue, width: 1.1, shape: "hvh" }, fill: "tozeroy",
          fillcolor: faint(hue.startsWith("#") ? hue : "#777777", 0.3), showlegend: false,
          hovertemplate: `%{y:.2f}<br>%{x:.2f} Mb<extra>${name}</extra>`,
        });
      });
      const more = {
        height: narrow(box) ? 520 : 560 + 90 * (panels - 3), shapes, showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
        margin: { l: 56, r: 14, t: 40, b: 46 },
        xaxis: axis({ title: `position on chromosome ${plain(chart.chroms[c])} (Mb)`, range: [0, chart.lengths[c] / 1e6], anchor: `y${panels}` }),
        yaxis: axis({ title: `${plain(chart.who)} (%)`, domain: [panels === 4 ? 0.6 : 0.48, 1], rangemode: "tozero" }),
      };
      const room = (panels === 4 ? 0.56 : 0.44) / (panels - 1);
      const titles = chart.track ? ["track (%)", "functional (%)", "cM/Mb"] : ["functional (%)", "cM/Mb"];
      titles.forEach((title, k) => {
        more[`yaxis${k + 2}`] = axis({ title, rangemode: "tozero", nticks: 4, domain: [room * (panels - 2 - k), room * (panels - 2 - k) + room * 0.84] });
      });
      return show(box, traces, more);
    },
    sweep(box, chart) {
      return show(box, [{
        x: chart.x, y: chart.y, mode: "markers", marker: { size: 9, opacity: 0.85, color: chart.colour, colorscale: "Cividis",
          colorbar: chart.colour ? { title: { text: plain(chart.by), side: "right" }, thickness: 12 } : undefined },
        customdata: chart.text.map(plain), hovertemplate: "%{customdata}<br>%{x:.3g} % → %{y:.3g} %<extra></extra>",
      }], {
        height: 480, xaxis: axis({ title: "archaic share of generation 1 (%)", rangemode: "tozero" }),
        yaxis: axis({ title: plain(chart.ylabel), rangemode: "tozero" }),
      });
    },
  };

  // Means of `bin` windows; null where none is known.
  function binned(values, from, to, bin) {
    const out = [];
    for (let k = from; k < to; k += bin) {
      const part = Array.from(values.slice(k, Math.min(k + bin, to))).filter((v) => !Number.isNaN(v));
      out.push(part.length ? part.reduce((sum, v) => sum + v, 0) / part.length : null);
    }
    return out;
  }
  // A loop, as Uint8Array.from would take forty times as long.
  function fromBase64(text) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let k = 0; k < bytes.length; k += 1) bytes[k] = letters.charCodeAt(k);
    return bytes;
  }
  const unpackedBefore = new Map();
  function unpacked(packed, missing) {
    if (!unpackedBefore.has(packed)) {
      const bytes = fromBase64(packed.data);
      const view = new DataView(bytes.buffer);
      const out = new Float64Array(bytes.length / 2);
      for (let k = 0; k < out.length; k += 1) {
        const value = view.getUint16(2 * k, true);
        out[k] = value === missing ? NaN : value * packed.scale;
      }
      unpackedBefore.set(packed, out);
    }
    return unpackedBefore.get(packed);
  }
  function chosen(chart, branch, g, kind) {
    const line = chart.lines.find((l) => l.branch === branch && l.g === g && l.kind === kind);
    return line && unpacked(line, chart.missing);
  }

  const drawn = new Set();
  let ready = false;
  function render(box) {
    drawn.add(box);
    const done = draw[box.dataset.kind](box, charts[box.id]);
    performance.mark(box.id);
    return done;
  }
  function redraw() {
    if (ready) drawn.forEach(render);
  }
  for (const button of all("button[data-axes]")) {
    button.addEventListener("click", () => {
      const id = button.dataset.axes;
      const linear = !settings[id]?.linear;
      settings[id] = { ...settings[id], linear };
      button.setAttribute("aria-pressed", String(linear));
      if (ready) render(byId(id));
    });
  }
  for (const name of ["chromosome", "generation", "window", "branch"]) {
    for (const select of all(`select[data-${name}]`)) {
      const id = select.dataset[name];
      const read = () => { settings[id] = { ...settings[id], [name]: Number(select.value) }; };
      read();
      select.addEventListener("change", () => { read(); if (ready) render(byId(id)); });
    }
  }

  async function start() {
    performance.mark("start");
    const packed = fromBase64(byId("library").textContent);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    performance.mark("unpacked");
    document.head.append(script);
    performance.mark("library");
    if (typeof Plotly === "undefined") throw new Error("the plotting library did not start");
    ready = true;
    // Charts are drawn when they come near, so that the page opens quickly.
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting || drawn.has(entry.target)) continue;
        near.unobserve(entry.target);
        render(entry.target);
      }
    }, { rootMargin: "600px" });
    all(".chart").forEach((box) => near.observe(box));
    root.dataset.charts = "ready";
  }
  start().catch((error) => {
    root.classList.remove("live");
    root.dataset.charts = "none";
    console.warn(`admix: charts as pictures (${error.message})`);
  });
})();
