// <console-chart spec="JSON" library="URL">: a chart of aiplatform/console/charts.py, drawn by Apache ECharts as SVG.
//
// The library is fetched with the first chart, each chart drawn when it comes into view; a page that has it already (a report in one file)
// fetches nothing. Colours are CSS variables, so light, dark and paper need no drawing again. Texts are set as
// text, never as HTML: no name can break out.
"use strict";

(() => {
  const INK = "var(--chart-ink)";
  const FAINT = "var(--chart-grid)";
  const DOTS_UP_TO = 40; // points of a series that are marked; more would hide the line
  const MARK_ROOM = 0.3; // of the width, for the words over a mark
  const opened = new Set(); // tables that a person has opened, by their label: they stay open when a page refreshes
  let library = null;

  function fetchLibrary(url) {
    if (window.echarts) return Promise.resolve();
    library ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = () => { library = null; reject(new Error(`no chart library at ${url}`)); };
      document.head.append(script);
    });
    return library;
  }

  const colour = (index) => `var(--chart-${(index % 6) + 1})`;

  function numberText(value, isShare) {
    if (value === null || value === undefined) return "-";
    if (isShare) return `${Number((Math.abs(value) < 1e-9 ? 0 : value * 100).toPrecision(3))}%`;
    const size = Math.abs(value);
    for (const [limit, suffix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (size >= limit) return `${Number((value / limit).toPrecision(3))}${suffix}`;
    }
    return size !== 0 && size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  }

  function timeText(seconds, span) {
    const text = new Date(seconds * 1000).toISOString();
    if (span <= 600) return text.slice(11, 19);
    if (span <= 86400) return text.slice(11, 16);
    return `${text.slice(8, 10)} ${new Date(seconds * 1000).toLocaleString("en", { month: "short", timeZone: "UTC" })} ${text.slice(11, 16)}`;
  }

  function timeTicks(low, high) {
    const steps = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
    const step = steps.find((s) => s >= (high - low) / 6) ?? 604800 * Math.ceil((high - low) / 6 / 604800);
    const ticks = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(tick);
    return ticks;
  }

  function tooltip(spec, title, items) {
    const box = document.createElement("div");
    const head = document.createElement("b");
    head.textContent = title;
    box.append(head);
    for (const item of items) {
      const line = document.createElement("div");
      line.textContent = `${item.name}: ${numberText(item.value, spec.isShare)}${item.more ?? ""}`;
      box.append(line);
    }
    return box;
  }

  const axisText = (name) => ({
    name, nameLocation: "middle", nameTextStyle: { color: INK, fontSize: 11 },
    axisLabel: { color: INK, fontSize: 11, hideOverlap: true },
    axisLine: { lineStyle: { color: FAINT } }, axisTick: { lineStyle: { color: FAINT } },
  });

  function yAxis(spec) {
    const axis = axisText("");
    return {
      ...axis, type: "value", scale: spec.kind === "line", splitLine: { lineStyle: { color: FAINT } }, splitNumber: 4,
      axisLabel: { ...axis.axisLabel, formatter: (value) => numberText(value, spec.isShare) },
    };
  }

  // Lines whose values begin near zero are shown from zero; others fill the height.
  function yRange(spec) {
    const values = spec.series.flatMap((s) => s.points.map(([, y]) => y)).filter((y) => y !== null);
    for (const band of spec.bands) for (const [, low, high] of band.points) if (low !== null) values.push(low, high);
    const drawn = Math.max(...values);
    for (const limit of spec.thresholds) values.push(limit.value);
    const low = Math.min(...values), high = Math.max(...values);
    const range = {};
    if (low >= 0 && low <= 0.6 * high) range.min = 0;
    if (low === high) Object.assign(range, low === 0 ? { min: 0, max: 1 } : { min: Math.min(0, low), max: Math.max(0, low) * 1.2 });
    else if (high > drawn && high > 0) { // a limit above all that was drawn
      range.max = spec.isShare ? Math.min(1, 1.2 * high) : 1.2 * high;
      if (range.min === 0) range.interval = range.max / 4;
    }
    if (spec.isShare && high > 0.9 && high <= 1) Object.assign(range, { max: 1, ...(range.min === 0 ? { interval: 0.25 } : {}) });
    return range;
  }

  // Words over marks that stand close together would cover each other: the first speaks for those after it.
  function markWords(spec) {
    const marks = [...(spec.marks ?? [])].sort((one, other) => one.at - other.at);
    const xs = spec.series.flatMap((s) => s.points.map(([x]) => x)).concat(spec.xRange ?? []);
    const begin = Math.min(...xs), width = Math.max(...xs) - begin, room = MARK_ROOM * width;
    const groups = [];
    for (const mark of marks) {
      const last = groups.at(-1);
      if (last && mark.at - last[0].at < room) last.push(mark);
      else groups.push([mark]);
    }
    return groups.flatMap((group) => group.map((mark, place) => ({
      ...mark, word: place ? "" : mark.name + (group.length > 1 ? `, ${group.length - 1} more` : ""),
      align: mark.at < begin + 0.2 * width ? "left" : mark.at > begin + 0.8 * width ? "right" : "center",
    })));
  }

  function thresholdLines(spec) {
    const data = spec.thresholds.map((limit) => ({
      yAxis: limit.value, name: limit.name, label: { formatter: `${limit.name} (${numberText(limit.value, spec.isShare)})` },
    }));
    for (const mark of spec.kind === "line" ? markWords(spec) : []) data.push({
      xAxis: mark.at, name: mark.name, lineStyle: { color: INK, type: "dotted" }, label: { formatter: mark.word, show: mark.word !== "", color: INK, position: "end", align: mark.align },
    });
    if (!data.length) return undefined;
    return {
      silent: true, symbol: "none", animation: false, data,
      lineStyle: { color: "var(--chart-threshold)", type: "dashed", width: 1.5 },
      label: { position: "insideEndTop", color: "var(--chart-threshold)", fontSize: 11, distance: 3 },
    };
  }

  function bandSeries(spec) {
    return spec.bands.flatMap((band) => {
      const shade = colour(spec.series.findIndex((s) => s.name === band.name));
      const common = {
        type: "line", stack: `band ${band.name}`, stackStrategy: "all", symbol: "none", silent: true,
        lineStyle: { opacity: 0 }, tooltip: { show: false }, animation: false,
      };
      return [
        { ...common, name: "band", data: band.points.map(([x, low]) => [x, low]) },
        { ...common, name: "band", data: band.points.map(([x, low, high]) => [x, low === null ? null : high - low]), areaStyle: { color: shade, opacity: 0.18 } },
      ];
    });
  }

  function bandText(spec, name, x) {
    const point = spec.bands.find((band) => band.name === name)?.points.find(([at]) => at === x);
    return point && point[1] !== null ? ` (${numberText(point[1], spec.isShare)} to ${numberText(point[2], spec.isShare)})` : "";
  }

  function lineOption(spec) {
    const xs = spec.series.flatMap((s) => s.points.map(([x]) => x)).concat(spec.xRange ?? []);
    const isTime = spec.xKind === "time";
    const pad = Math.min(...xs) === Math.max(...xs) ? (isTime ? 60 : 1) : 0;
    const low = Math.min(...xs) - pad, high = Math.max(...xs) + pad;
    const sayX = (x) => (isTime ? timeText(x, high - low) : numberText(x, false));
    const axis = axisText(spec.xName);
    const ticks = isTime ? timeTicks(low, high) : undefined;
    return {
      xAxis: {
        ...axis, type: "value", min: low, max: high, splitLine: { show: false },
        minInterval: !isTime && xs.every(Number.isInteger) ? 1 : undefined, // there is no trial 0.4
        axisTick: { ...axis.axisTick, customValues: ticks },
        axisLabel: { ...axis.axisLabel, customValues: ticks, formatter: sayX },
      },
      yAxis: { ...yAxis(spec), ...yRange(spec) },
      series: [
        ...bandSeries(spec),
        ...spec.series.map((s, index) => ({
          type: "line", name: s.name, data: s.points, connectNulls: false, animation: false, color: colour(index),
          lineStyle: { width: 2 }, symbol: "circle", symbolSize: 5, emphasis: { disabled: true },
          showSymbol: s.points.length <= DOTS_UP_TO || isLonely(s.points), markLine: index === 0 ? thresholdLines(spec) : undefined,
        })),
      ],
      tooltip: (items) => {
        const own = items.filter((item) => item.seriesName !== "band" && item.value[1] !== null);
        return own.length && tooltip(spec, sayX(own[0].value[0]), own.map((item) => (
          { name: item.seriesName, value: item.value[1], more: bandText(spec, item.seriesName, item.value[0]) })));
      },
    };
  }

  // A point between gaps would not be seen in a line without dots.
  function isLonely(points) {
    return points.some(([, y], index) => y !== null && (points[index - 1]?.[1] ?? null) === null && (points[index + 1]?.[1] ?? null) === null);
  }

  function whiskers(series, index, count) {
    const data = series.intervals.flatMap((interval, place) => (interval ? [[place, interval[0], interval[1]]] : []));
    if (!data.length) return [];
    return [{
      type: "custom", name: "band", data, silent: true, animation: false, z: 5, tooltip: { show: false },
      encode: { x: 0, y: [1, 2] },
      renderItem: (params, api) => {
        const [place, low, high] = [api.value(0), api.value(1), api.value(2)];
        const layout = api.barLayout({ count, barMaxWidth: 48, barCategoryGap: "25%", barGap: "10%" })[index];
        const [x, top] = api.coord([place, high]);
        const bottom = api.coord([place, low])[1];
        const centre = x + layout.offsetCenter;
        const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: "var(--chart-ink)", lineWidth: 1.2 } });
        return { type: "group", children: [
          line(centre, top, centre, bottom), line(centre - 4, top, centre + 4, top), line(centre - 4, bottom, centre + 4, bottom),
        ] };
      },
    }];
  }

  function barOption(spec) {
    const axis = axisText(spec.xName);
    const room = Math.max(...spec.categories.map((name) => name.length)) * spec.categories.length;
    const isCrowded = room > 70;
    const hasValues = spec.categories.length * spec.series.length <= 12;
    const highest = Math.max(0, ...spec.series.flatMap((s) => s.values), ...spec.thresholds.map((limit) => limit.value));
    return {
      xAxis: {
        ...axis, type: "category", data: spec.categories, nameGap: isCrowded ? undefined : 24, axisTick: { show: false },
        axisLabel: { ...axis.axisLabel, rotate: isCrowded ? 35 : 0, width: 110, overflow: "truncate", interval: spec.categories.length > 30 ? "auto" : 0 },
      },
      yAxis: { ...yAxis(spec), ...(highest === 0 ? { max: 1 } : {}) },
      series: spec.series.flatMap((s, index) => [
        {
          type: "bar", name: s.name, data: s.values, color: colour(index), animation: false, barMaxWidth: 48,
          barCategoryGap: "25%", barGap: "10%", itemStyle: { borderRadius: 2 }, emphasis: { disabled: true },
          label: { show: hasValues && !s.intervals.some(Boolean), position: "top", color: INK, fontSize: 10, formatter: (item) => numberText(item.value, spec.isShare) },
          markLine: index === 0 ? thresholdLines(spec) : undefined,
        },
        ...whiskers(s, index, spec.series.length),
      ]),
      tooltip: (items) => {
        const own = items.filter((item) => item.seriesName !== "band" && item.value !== null && item.value !== undefined);
        return own.length && tooltip(spec, spec.categories[own[0].dataIndex], own.map((item) => {
          const interval = spec.series.find((s) => s.name === item.seriesName).intervals[item.dataIndex];
          const more = interval ? ` (${numberText(interval[0], spec.isShare)} to ${numberText(interval[1], spec.isShare)})` : "";
          return { name: item.seriesName, value: item.value, more };
        }));
      },
    };
  }

  function optionOf(spec) {
    const option = spec.kind === "bar" ? barOption(spec) : lineOption(spec);
    return {
      ...option,
      animation: false, textStyle: { fontFamily: "inherit", color: INK },
      grid: { left: 4, right: 12, top: spec.marks?.length ? 24 : 12, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "all" },
      tooltip: {
        trigger: "axis", confine: true, appendTo: undefined, transitionDuration: 0, className: "chart-tooltip",
        backgroundColor: "var(--console-surface)", borderColor: "var(--console-edge)", textStyle: { color: "var(--console-strong)", fontSize: 12 },
        axisPointer: { type: spec.kind === "bar" ? "shadow" : "line", lineStyle: { color: FAINT }, shadowStyle: { color: "var(--chart-grid)", opacity: 0.3 }, animation: false },
        formatter: option.tooltip,
      },
    };
  }

  class ConsoleChart extends HTMLElement {
    connectedCallback() {
      seen.observe(this);
      fetchLibrary(this.getAttribute("library")).catch(() => undefined); // it will be there when paper is wanted, too
      const details = this.parentElement?.querySelector("details.chart-numbers");
      if (details && !details.dataset.known) {
        const label = details.querySelector("summary").getAttribute("aria-label");
        details.dataset.known = "yes";
        details.open = opened.has(label);
        details.addEventListener("toggle", () => { if (details.open) opened.add(label); else opened.delete(label); });
      }
    }

    disconnectedCallback() {
      seen.unobserve(this);
      sized.unobserve(this);
      this.chart?.dispose();
      this.chart = null;
    }

    draw() {
      if (this.chart || !this.isConnected || !window.echarts || !this.clientWidth) return;
      const spec = JSON.parse(this.getAttribute("spec"));
      this.chart = window.echarts.init(this, null, { renderer: "svg" });
      this.chart.setOption(optionOf(spec));
      sized.observe(this);
      this.dataset.drawn = "yes";
    }
  }

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      fetchLibrary(target.getAttribute("library")).then(() => target.draw()).catch((error) => console.warn(error.message));
    }
  }, { rootMargin: "300px" });
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.clientWidth) target.chart?.resize();
  });

  // Not before the page has been read: a chart looks for the table beside it.
  const define = () => customElements.define("console-chart", ConsoleChart);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", define);
  else define();
  window.addEventListener("beforeprint", () => {
    for (const chart of document.querySelectorAll("console-chart")) chart.draw();
  });
})();
