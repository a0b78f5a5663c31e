// @ts-check
// Charts over Plotly. A chart is made once; new points are added to it, so zoom and hover stay.
import { band, smoothed } from "../lib/series.js";
import { h } from "./dom.js";
import { onTheme, themeColour } from "./theme.js";

/**
 * As ui/panels/charts.py declares charts, and a height.
 * @typedef {{series: any[], [key: string]: any}} Spec
 */

const CLEAR = "rgba(0,0,0,0)";

const limitShape = (spec) => (one) => ({
  type: "line",
  xref: "paper",
  x0: 0,
  x1: 1,
  y0: one.y,
  y1: one.y,
  line: {
    color: themeColour(one.color || spec.series[0].color),
    width: 1.4,
    dash: one.dash || "dash",
  },
  opacity: 0.75,
});

const bandShape = ([x0, x1]) => ({
  type: "rect",
  layer: "below",
  x0,
  x1,
  yref: "paper",
  y0: 0,
  y1: 1,
  line: { width: 0 },
  fillcolor: themeColour("chip"),
});

// On the card's colour, because a curve may run there.
const limitLabel = (soft) => (one) => ({
  bgcolor: themeColour("card"),
  text: one.label,
  xref: "paper",
  x: one.left ? 0.01 : 1,
  xanchor: one.left ? "left" : "right",
  y: one.y,
  yanchor: "bottom",
  showarrow: false,
  font: { color: soft, size: 12 },
});

const emptyLabel = (text, soft) => ({
  text,
  xref: "paper",
  yref: "paper",
  x: 0.5,
  y: 0.5,
  showarrow: false,
  font: { color: soft, size: 13 },
});

const axes = (spec, shown, soft, line) => {
  const axis = {
    color: soft,
    gridcolor: line,
    zeroline: false,
    linecolor: line,
    fixedrange: !!spec.small,
    tickfont: { size: 12 },
    automargin: false,
    visible: shown,
  };
  const title = { text: spec.xTitle, font: { size: 12 }, standoff: 4 };
  return {
    xaxis: {
      ...axis,
      showgrid: false,
      range: spec.xRange,
      rangemode: "tozero",
      nticks: 7,
      tickformat: spec.xFormat,
      title: spec.xTitle ? title : undefined,
    },
    yaxis: {
      ...axis,
      range: spec.yRange,
      rangemode: spec.fromZero ? "tozero" : "normal",
      nticks: 5,
      tickformat: spec.yFormat,
    },
  };
};

// bare: there are no points. A chart with a sentence for that case shows the sentence alone.
const layout = (/** @type {Spec} */ spec, /** @type {boolean} */ bare) => {
  const silent = bare && spec.empty;
  const lines = silent ? [] : spec.lines || [];
  const soft = themeColour("soft");
  const line = themeColour("line");
  const hover = { color: themeColour("ink"), size: 13 };
  const wide = { l: spec.left || 44, r: 14, t: 10, b: spec.xTitle ? 40 : 26 };
  return {
    uirevision: "keep",
    height: spec.height,
    paper_bgcolor: CLEAR,
    plot_bgcolor: CLEAR,
    font: { color: soft, size: 12, family: "inherit" },
    showlegend: false,
    hovermode: spec.hovermode || "x unified",
    hoverlabel: { bgcolor: themeColour("card"), bordercolor: line, font: hover },
    margin: spec.small ? { l: 4, r: 4, t: 4, b: 4 } : wide,
    ...axes(spec, !spec.small && !silent, soft, line),
    shapes: [...lines.map(limitShape(spec)), ...(spec.band ? [bandShape(spec.band)] : [])],
    annotations: [
      ...lines.map(limitLabel(soft)),
      ...(silent ? [emptyLabel(spec.empty, soft)] : []),
    ],
  };
};

// Invisible points keep the lines (target, budget) in view, to show how far off they are.
const lineTrace = (spec) => ({
  x: (spec.lines || []).map(() => 0),
  y: (spec.lines || []).map((one) => one.y),
  mode: "markers",
  marker: { opacity: 0 },
  hoverinfo: "skip",
});

// A faint band of one standard error each way, behind the line.
const bandTrace = (one) => ({
  ...band(one),
  mode: "lines",
  line: { width: 0 },
  fill: "toself",
  fillcolor: themeColour(one.color),
  opacity: 0.22,
  hoverinfo: "skip",
});

// If x is not the step, the points have no order and each gets a bar instead of a band.
const bars = (one, spec) =>
  one.reach || (spec.x && one.spread && { type: "data", array: one.spread });

const lineStyle = (one, spec) => ({
  color: themeColour(one.color),
  width: spec.small ? 1.6 : one.faint ? 1.2 : 2.4,
  dash: one.dash,
  shape: one.shape || "linear",
});

const errorBars = (one, spec) =>
  bars(one, spec) && {
    ...bars(one, spec),
    color: themeColour(one.reach?.color || one.color),
    thickness: spec.x ? 1 : 1.6,
    width: spec.x ? 0 : 4,
  };

// A hover text with a standard error needs one. Older runs have none.
const hoverOf = (one, spec) => {
  const complete = !one.spread_key || one.spread || one.detail;
  const plain = `%{y:${spec.hoverFormat || ".3~g"}}`;
  return (
    (complete && one.hover) || `${plain}<extra>${spec.small ? "" : "%{fullData.name}"}</extra>`
  );
};

const heights = (one) => (one.smooth ? smoothed(one.y || [], one.smooth) : one.y || []);

const trace = (one, spec) => ({
  x: one.x || [],
  y: heights(one),
  opacity: one.faint ? 0.35 : 1,
  name: one.name || "",
  type: one.type || "scatter",
  mode: one.mode || "lines",
  line: lineStyle(one, spec),
  fill: one.fill,
  customdata: one.detail || one.spread,
  marker: {
    color: one.colors ? one.colors.map(themeColour) : themeColour(one.color),
    size: one.size || 8,
    symbol: one.symbol,
  },
  text: one.text,
  error_x: one.error && { ...one.error, color: themeColour("ink"), thickness: 2, width: 7 },
  error_y: errorBars(one, spec),
  textposition: one.textposition,
  insidetextanchor: one.anchor,
  hovertemplate: hoverOf(one, spec),
  width: one.width,
  orientation: one.orientation,
  cliponaxis: false,
});

// A large last point shows where the line is now.
const headTrace = (one) => {
  const ys = heights(one);
  const last = ys.length - 1;
  return {
    x: last < 0 ? [] : [one.x[last]],
    y: last < 0 ? [] : [ys[last]],
    mode: "markers",
    hoverinfo: "skip",
    marker: { color: themeColour(one.color), size: 9 },
  };
};

const BEHAVIOUR = { displayModeBar: false, doubleClick: "reset" };

/** @type {Promise<void> | null} */
let library = null;

/**
 * Fetches Plotly with the first chart: it takes 4.6 MB, and a student's phone may never draw one.
 * @returns a promise that fails if the line is lost; the next call tries again
 */
const plotly = () => {
  library ??= new Promise((done, failed) => {
    const script = h("script", { src: "plotly.min.js" });
    script.onload = () => done();
    script.onerror = () => {
      library = null;
      failed(new Error("Plotly cannot be fetched"));
    };
    document.head.append(script);
  });
  return library;
};

class Chart {
  /** @param {HTMLElement} element  @param {Spec} spec */
  constructor(element, spec) {
    this.element = element;
    this.spec = spec;
    this.series = spec.series.map((one) => ({
      ...one,
      x: [...(one.x || [])],
      y: [...(one.y || [])],
    }));
    /** @type {"empty" | "waiting" | "drawn"} */
    this.state = "empty";
    this.draw();
  }

  async begin() {
    this.state = "waiting";
    try {
      await plotly();
    } catch {
      this.state = "empty"; // new points ask again
      return;
    }
    Plotly.newPlot(this.element, this.traces(), this.layout(), BEHAVIOUR);
    this.state = "drawn";
    onTheme(() => this.element.isConnected && this.draw());
    this.width = this.element.clientWidth;
    new ResizeObserver(() => this.fit()).observe(this.element);
  }

  layout() {
    return layout(
      this.spec,
      this.series.every((one) => !one.x.length),
    );
  }

  traces() {
    /** @type {object[]} */
    const drawn = this.series.map((one) => trace(one, this.spec));
    if (this.spec.head) drawn.push(headTrace(this.series[0]));
    if ((this.spec.lines || []).length) drawn.push(lineTrace(this.spec));
    return [...drawn, ...this.series.filter((one) => one.spread && !this.spec.x).map(bandTrace)];
  }

  draw() {
    if (this.state === "empty") this.begin();
    if (this.state === "drawn") this.redraw();
  }

  redraw() {
    Plotly.react(this.element, this.traces(), this.layout(), BEHAVIOUR);
  }

  // A card is made wider or narrower by the window, and by other cards that are hidden.
  fit() {
    const width = this.element.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    Plotly.Plots.resize(this.element);
  }

  // Adds points to each series: [{x, y}, ...], with `spread` (standard errors) and `detail` (for
  // the hover) if it has these.
  extend(points) {
    if (!points.some((one) => one.x.length)) return;
    points.forEach((one, index) => {
      const series = this.series[index];
      for (const [name, values] of Object.entries(one))
        series[name] = [...(series[name] || []), ...values];
    });
    this.draw();
  }

  replace(series, changes = {}) {
    Object.assign(this.spec, changes);
    this.series = series.map((one, index) => ({
      ...this.spec.series[Math.min(index, this.spec.series.length - 1)],
      ...one,
    }));
    this.draw();
  }
}

const BORDERS = { dot: "dotted", dash: "dashed" };

/**
 * The key of a card's lines, as text that wraps on a phone.
 * @param {{name: string, color: string, dash?: string}[]} series
 */
export const keyOf = (series) =>
  series.map(({ name, color, dash }) => {
    const borderTop = `3px ${BORDERS[dash] || "solid"} var(--rl-${color})`;
    return h("span", {}, h("i", { style: { borderTop } }), name);
  });

/**
 * A card of fixed size, with a title that says what is plotted against what.
 * @param {Spec} spec
 */
export const chartCard = (spec) => {
  const plot = h("div", { class: "rl-plot", style: { height: `${spec.height}px` } });
  const value = h("span", { class: "rl-small-value" });
  const subtitle = spec.small ? value : h("span", {}, spec.subtitle || "");
  const title = h("h3", { title: spec.meaning }, spec.title, " ", subtitle);
  const size = `rl-card ${spec.small ? "rl-card-small" : ""}`;
  const label = `${spec.title}: ${spec.subtitle || spec.meaning || ""}`;
  const key = spec.key_shown ? h("p", { class: "rl-key" }, keyOf(spec.series)) : null;
  const card = h("figure", { class: size, "aria-label": label }, title, key, plot);
  /** @type {Chart | null} */
  let chart = null;
  return {
    card,
    value,
    spec,
    // Made when first needed, because Plotly measures the element.
    get chart() {
      chart = chart || new Chart(plot, spec);
      return chart;
    },
  };
};

/** @typedef {ReturnType<typeof chartCard>} ChartCard */
