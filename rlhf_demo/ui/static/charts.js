// Charts over Plotly. A chart is made once; new points are added to it, so zoom and hover stay.
(() => {
  const { h } = rlhf;

  // bare: nothing is to be drawn; where the chart has a sentence for that it stands alone.
  const layout = (spec, bare) => {
    const silent = bare && spec.empty, lines = silent ? [] : spec.lines || [];
    const soft = rlhf.colour("soft"), line = rlhf.colour("line");
    const axis = {
      color: soft, gridcolor: line, zeroline: false, linecolor: line, fixedrange: !!spec.small, tickfont: { size: 12 },
      automargin: false,
    };
    return {
      uirevision: "keep", height: spec.height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: soft, size: 12, family: "inherit" }, showlegend: false, hovermode: spec.hovermode || "x unified",
      hoverlabel: { bgcolor: rlhf.colour("card"), bordercolor: line, font: { color: rlhf.colour("ink"), size: 13 } },
      margin: spec.small ? { l: 4, r: 4, t: 4, b: 4 } : { l: spec.left || 44, r: 14, t: 10, b: spec.xTitle ? 40 : 26 },
      xaxis: {
        ...axis, visible: !spec.small && !silent, showgrid: false, range: spec.xRange, rangemode: "tozero", nticks: 7, tickformat: spec.xFormat,
        title: spec.xTitle ? { text: spec.xTitle, font: { size: 12 }, standoff: 4 } : undefined,
      },
      yaxis: { ...axis, visible: !spec.small && !silent, range: spec.yRange, rangemode: spec.fromZero ? "tozero" : "normal", nticks: 5, tickformat: spec.yFormat },
      shapes: [
        ...lines.map((one) => ({
          type: "line", xref: "paper", x0: 0, x1: 1, y0: one.y, y1: one.y,
          line: { color: rlhf.colour(one.color || spec.series[0].color), width: 1.4, dash: one.dash || "dash" }, opacity: 0.75,
        })),
        ...(spec.band ? [{ type: "rect", layer: "below", x0: spec.band[0], x1: spec.band[1], yref: "paper", y0: 0, y1: 1, line: { width: 0 }, fillcolor: rlhf.colour("chip") }] : []),
      ],
      annotations: [
        ...lines.map((one) => ({
          text: one.label, xref: "paper", x: one.left ? 0.01 : 1, xanchor: one.left ? "left" : "right", y: one.y, yanchor: "bottom", showarrow: false,
          font: { color: soft, size: 12 },
        })),
        ...(silent ? [{ text: spec.empty, xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false, font: { color: soft, size: 13 } }] : []),
      ],
    };
  };

  // Lines that limit the view (target, budget) are always in it, so the reader sees how far they are.
  const lineTrace = (spec) => ({
    x: (spec.lines || []).map(() => 0), y: (spec.lines || []).map((one) => one.y), mode: "markers",
    marker: { opacity: 0 }, hoverinfo: "skip",
  });

  // What is noisy from step to step is drawn as the mean of the last few; its raw points stay faint.
  const smoothed = (ys, count) => ys.map((_, i) => {
    const last = ys.slice(Math.max(0, i - count + 1), i + 1);
    return last.reduce((sum, y) => sum + y, 0) / last.length;
  });

  // A standard error each way, as a faint band behind the line.
  const bandTrace = (one) => {
    const edge = (sign) => one.y.map((y, i) => y + sign * one.spread[i]);
    return {
      x: [...one.x, ...[...one.x].reverse()], y: [...edge(1), ...edge(-1).reverse()], mode: "lines", line: { width: 0 }, fill: "toself",
      fillcolor: rlhf.colour(one.color), opacity: 0.22, hoverinfo: "skip",
    };
  };

  // Where the points stand in no order no band can join them: each has a bar.
  const bars = (one, spec) => one.reach || (spec.x && one.spread && { type: "data", array: one.spread });

  const trace = (one, spec) => ({
    x: one.x || [], y: one.smooth ? smoothed(one.y || [], one.smooth) : one.y || [], opacity: one.faint ? 0.35 : 1, name: one.name || "", type: one.type || "scatter", mode: one.mode || "lines",
    line: { color: rlhf.colour(one.color), width: spec.small ? 1.6 : one.faint ? 1.2 : 2.4, dash: one.dash, shape: one.shape || "linear" }, fill: one.fill, customdata: one.told || one.spread,
    marker: { color: one.colors ? one.colors.map(rlhf.colour) : rlhf.colour(one.color), size: one.size || 8 }, text: one.text, error_x: one.error && { ...one.error, color: rlhf.colour("ink"), thickness: 2, width: 7 },
    error_y: bars(one, spec) && { ...bars(one, spec), color: rlhf.colour(one.reach?.color || one.color), thickness: spec.x ? 1 : 1.6, width: spec.x ? 0 : 4 },
    // A hover that tells a standard error needs one: runs of before have none.
    textposition: one.textposition, insidetextanchor: one.anchor, hovertemplate: (!(one.spread_key && !one.spread && !one.told) && one.hover) || `%{y:${spec.hoverFormat || ".3~g"}}<extra>${spec.small ? "" : "%{fullData.name}"}</extra>`,
    width: one.width, orientation: one.orientation, cliponaxis: false,
  });

  // A last point that is drawn large says where the line stands now.
  const headTrace = (one) => {
    const ys = one.smooth ? smoothed(one.y || [], one.smooth) : one.y || [];
    const last = ys.length - 1;
    return {
      x: last < 0 ? [] : [one.x[last]], y: last < 0 ? [] : [ys[last]], mode: "markers", hoverinfo: "skip",
      marker: { color: rlhf.colour(one.color), size: 9 },
    };
  };

  class Chart {
    constructor(element, spec) {
      this.element = element;
      this.spec = spec;
      this.series = spec.series.map((one) => ({ ...one, x: [...(one.x || [])], y: [...(one.y || [])] }));
      Plotly.newPlot(element, this.traces(), this.layout(), { responsive: true, displayModeBar: false, doubleClick: "reset" });
      rlhf.onTheme.push(() => element.isConnected && this.draw());
    }

    layout() {
      return layout(this.spec, this.series.every((one) => !one.x.length));
    }

    traces() {
      const drawn = this.series.map((one) => trace(one, this.spec));
      if (this.spec.head) drawn.push(headTrace(this.series[0]));
      if ((this.spec.lines || []).length) drawn.push(lineTrace(this.spec));
      return [...drawn, ...this.series.filter((one) => one.spread && !this.spec.x).map(bandTrace)];
    }

    draw() {
      Plotly.react(this.element, this.traces(), this.layout(), { responsive: true, displayModeBar: false, doubleClick: "reset" });
    }

    // Adds points to each series: [{x, y}, ...], with `spread` (a standard error each) or `told` (for the hover) where it has these.
    extend(points) {
      if (!points.some((one) => one.x.length)) return;
      points.forEach((one, index) => {
        const series = this.series[index];
        for (const [name, values] of Object.entries(one)) series[name] = [...(series[name] || []), ...values];
      });
      this.draw();
    }

    replace(series, changes = {}) {
      Object.assign(this.spec, changes);
      this.series = series.map((one, index) => ({ ...this.spec.series[Math.min(index, this.spec.series.length - 1)], ...one }));
      this.draw();
    }
  }

  // A card with a title that says what is plotted and over what, and room of a fixed size.
  rlhf.chartCard = (spec) => {
    const plot = h("div", { class: "rl-plot", style: { height: `${spec.height}px` } });
    const value = h("span", { class: "rl-small-value" });
    const title = h("h3", { title: spec.meaning }, spec.title, " ", spec.small ? value : h("span", {}, spec.subtitle || ""));
    const card = h("figure", { class: `rl-card ${spec.small ? "rl-card-small" : ""}`, "aria-label": `${spec.title}: ${spec.subtitle || spec.meaning || ""}` }, title, plot);
    let chart = null;
    return {
      card, value, spec,
      get chart() {
        // Made when first seen: Plotly measures the element.
        return (chart = chart || new Chart(plot, spec));
      },
    };
  };
  rlhf.Chart = Chart;
})();
