// Charts: each element with data-chart is drawn from the JSON that data-source names. Expressions are interpreted,
// never compiled, so that the page needs no permission to evaluate code.
"use strict";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const SPECS = {
  realised: ({ rows, x, y }) => ({
    data: { values: rows.filter((row) => row.ratio !== null) },
    layer: [
      { mark: { type: "rule", strokeDash: [4, 3], color: colour("--quiet") }, encoding: { y: { datum: 1, type: "quantitative", title: y } } },
      {
        mark: { type: "rule", color: colour("--accent") },
        encoding: { x: { field: "at", type: "temporal", title: x }, y: { field: "low", type: "quantitative", title: y }, y2: { field: "high" } },
      },
      {
        mark: { type: "point", filled: true, size: 60, color: colour("--accent") },
        encoding: { x: { field: "at", type: "temporal" }, y: { field: "ratio", type: "quantitative", title: y } },
      },
    ],
  }),
  reliability: ({ rows, x, y, count }) => {
    const top = 1.05 * Math.max(...rows.map((row) => Math.max(row.predicted, row.high)));
    const scale = { domain: [0, top], nice: false };
    const names = [...new Set(rows.map((row) => row.short))];
    const counts = rows.map((row) => row.rows);
    const tones = [...new Set(rows.map((row) => row.of))].map((of) => colour(of === "test" ? "--c0" : "--c1"));
    const across = { field: "predicted", type: "quantitative", title: x, scale };
    const tone = { field: "short", type: "nominal", title: null, scale: { domain: names, range: tones }, legend: { orient: "top" } };
    return {
      layer: [
        {
          data: { values: [{ at: 0 }, { at: top }] },
          mark: { type: "line", strokeDash: [4, 3], color: colour("--quiet") },
          encoding: { x: { field: "at", type: "quantitative", scale }, y: { field: "at", type: "quantitative", scale } },
        },
        {
          data: { values: rows },
          mark: { type: "rule" },
          encoding: { x: across, y: { field: "low", type: "quantitative", scale, title: y }, y2: { field: "high" }, color: tone },
        },
        {
          data: { values: rows },
          mark: { type: "point", filled: true },
          encoding: {
            x: across, y: { field: "observed", type: "quantitative", scale, title: y }, color: tone,
            shape: { field: "short", type: "nominal", title: null, scale: { domain: names }, legend: { orient: "top" } },
            size: { field: "rows", type: "quantitative", title: count, scale: { rangeMin: 25, rangeMax: 140 }, legend: { orient: "bottom", values: [...new Set([Math.min(...counts), Math.max(...counts)])] } },
          },
        },
      ],
      height: 300,
    };
  },
  cut: ({ at, users, profit }, { x, y }) => ({
    data: { values: at.map((value, i) => ({ at: value, users: users[i], profit: profit[i] })) },
    mark: { type: "area", line: { color: colour("--accent") }, color: colour("--accent"), opacity: 0.25 },
    encoding: {
      x: { field: "at", type: "quantitative", title: x },
      y: { field: "users", type: "quantitative", title: y },
    },
  }),
};

const look = () => ({
  background: "transparent",
  width: "container",
  height: 200,
  autosize: { type: "fit", contains: "padding" },
  config: {
    axis: { labelColor: colour("--quiet"), titleColor: colour("--quiet"), gridColor: colour("--line"), domainColor: colour("--line"), tickColor: colour("--line") },
    legend: { labelColor: colour("--quiet"), titleColor: colour("--quiet"), symbolBaseFillColor: colour("--quiet"), symbolBaseStrokeColor: colour("--quiet") },
    view: { stroke: null },
  },
});

const draw = async () => {
  for (const place of document.querySelectorAll("[data-chart]")) {
    const content = JSON.parse(document.getElementById(place.dataset.source).textContent);
    const spec = { ...look(), ...SPECS[place.dataset.chart](content, place.dataset) };
    await window.vegaEmbed(place, spec, { ast: true, actions: false, renderer: "canvas", defaultStyle: false, tooltip: false });
  }
};

draw();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
