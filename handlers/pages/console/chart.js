// Bars over time by uPlot, stacked in layers, with a limit as a line; also readable by keyboard and as a table.

import { html, useEffect, useRef, useState } from "./preact.js";
import { USAGE_SAID } from "./texts-usage.js";

/** The width of a bar as a share of its room, and at most in pixels. */
const BAR_SIZE = [0.72, 40];

/** Pixels of a name on the axis, with the room around it. */
const AXIS_NAME_PX = 72;

/** The share of a limit that the highest bar needs for the limit to be drawn: a higher line would flatten all bars. */
const SHOWN_SHARE = 0.2;

/** The most bars whose layers have edges: in thinner ones the edges would hide the colours. */
const MOST_EDGED_BARS = 31;

const HOUR_STEPS = [1, 2, 3, 6, 12, 24, 48, 96, 168];
const AXIS_STEPS = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/**
 * `bars` are {name, short}: in full, and for the axis. `layers` are {label, colour, values}, the lowest first; `colour`
 * is a custom property of the page's styles. `line` is {value, label} or null. `format` writes a figure with its unit,
 * `axis` one without.
 */
export function Chart({ title, atRest, bars, layers, line, format, axis, columns }) {
  const [at, setAt] = useState(null);
  const area = useRef(null);
  const plot = useRef(null);
  const totals = bars.map((_, index) => layers.reduce((sum, { values }) => sum + values[index], 0));
  const shownLine = line !== null && Math.max(0, ...totals) >= line.value * SHOWN_SHARE ? line : null;
  const told = at === null || at >= bars.length ? atRest : sentenceOfBar(at, bars, layers, totals, format);

  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = drawPlot(area.current, { bars, layers, totals, line: shownLine, axis, look: setAt });
    };
    draw();
    const sizes = new ResizeObserver(() => sized(plot.current, area.current));
    sizes.observe(area.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => {
      sizes.disconnect();
      scheme.removeEventListener("change", draw);
      plot.current.destroy();
      plot.current = null;
    };
  }, [JSON.stringify([bars, layers, shownLine])]);

  const onKeyDown = (event) => {
    const next = nextBar(event.key, at, bars.length - 1);
    if (next === null) return;
    event.preventDefault();
    plot.current.setCursor({ left: plot.current.valToPos(next, "x"), top: 0 });
  };
  const leave = () => plot.current.setCursor({ left: -10, top: -10 });

  return html`<figure class="chart">
    <figcaption><span class="chart-title">${title}</span><span class="readout">${told}</span></figcaption>
    <div class="plot" ref=${area} role="slider" tabindex="0" aria-label=${USAGE_SAID.barByBar(title)} aria-valuemin="1"
      aria-valuemax=${bars.length} aria-valuenow=${(at ?? bars.length - 1) + 1} aria-valuetext=${told}
      onKeyDown=${onKeyDown} onBlur=${leave}></div>
    ${line !== null && shownLine === null && html`<p class="hint">${USAGE_SAID.lineIsAbove(line.label)}</p>`}
    <details>
      <summary>${USAGE_SAID.asTable}<span class="unseen">: ${title}</span></summary>
      <${ChartTable} title=${title} bars=${bars} layers=${layers} totals=${totals} axis=${axis} columns=${columns} />
    </details>
  </figure>`;
}

/** The figures as a table, newest first. One layer has no column of its own beside the total. */
function ChartTable({ title, bars, layers, totals, axis, columns }) {
  const several = layers.length > 1;
  return html`<div class="rows" tabindex="0" role="group" aria-label=${USAGE_SAID.tableOf(title)}>
    <table>
      <thead><tr>
        <th scope="col">${columns.bar}</th>
        <th scope="col">${columns.total}</th>
        ${several && layers.map(({ label }) => html`<th scope="col">${label}</th>`)}
      </tr></thead>
      <tbody>${bars
        .map(
          ({ name }, index) => html`<tr>
            <th scope="row">${name}</th>
            <td>${axis(totals[index])}</td>
            ${several && layers.map(({ values }) => html`<td>${axis(values[index])}</td>`)}
          </tr>`,
        )
        .reverse()}</tbody>
    </table>
  </div>`;
}

function sentenceOfBar(at, bars, layers, totals, format) {
  const whole = `${bars[at].name}: ${format(totals[at])}`;
  const parts = layers.filter(({ values }) => values[at] > 0).map(({ label, values }) => `${label} ${format(values[at])}`);
  return layers.length > 1 && parts.length > 0 ? `${whole} (${parts.join(", ")})` : whole;
}

/** The bar that a key moves to; null: the key moves nothing. Without a current bar it is the nearer end. */
function nextBar(key, at, last) {
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (key === "ArrowLeft" || key === "ArrowDown") return at === null ? last : Math.max(0, at - 1);
  if (key === "ArrowRight" || key === "ArrowUp") return at === null ? 0 : Math.min(last, at + 1);
  return null;
}

function sized(plot, area) {
  if (plot === null || area === null) return;
  const size = { width: area.clientWidth, height: area.clientHeight };
  if (size.width !== plot.width || size.height !== plot.height) plot.setSize(size);
}

function drawPlot(area, { bars, layers, totals, line, axis, look }) {
  const styles = getComputedStyle(area);
  const colour = (name) => styles.getPropertyValue(name).trim();
  const stacks = [];
  layers.forEach(({ values }, layer) => stacks.push(values.map((value, bar) => value + (stacks[layer - 1]?.[bar] ?? 0))));
  const most = Math.max(4, line?.value ?? 0, ...totals);
  const axisStyle = { stroke: colour("--muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const options = {
    width: area.clientWidth,
    height: area.clientHeight,
    legend: { show: false },
    padding: [line === null ? 8 : 20, 24, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: false, range: [-0.5, bars.length - 0.5] }, y: { range: [0, most * 1.05] } },
    axes: [
      {
        ...axisStyle,
        grid: { show: false },
        size: 28,
        splits: (plot) => namedBars(bars.length, plot.width, isHours(bars)),
        values: (_, indexes) => indexes.map((index) => bars[index].short),
      },
      {
        ...axisStyle,
        grid: { stroke: colour("--line"), width: 1 },
        size: 52,
        incrs: AXIS_STEPS,
        values: (_, figures) => figures.map((figure) => axis(figure, { compact: true })),
      },
    ],
    series: [
      {},
      ...layers
        .map((layer) => ({
          fill: colour(layer.colour),
          stroke: colour("--surface"),
          width: layers.length > 1 && bars.length <= MOST_EDGED_BARS ? 1 : 0,
          points: { show: false },
          paths: uPlot.paths.bars({ size: BAR_SIZE }),
        }))
        .reverse(),
    ],
    hooks: {
      setCursor: [(plot) => look(plot.cursor.left < 0 ? null : (plot.cursor.idx ?? null))],
      draw: line === null ? [] : [(plot) => drawLine(plot, line, colour("--limit-line"))],
    },
  };
  // The whole stack is drawn first, and lower layers over it.
  return new uPlot(options, [bars.map((_, index) => index), ...stacks.reverse()], area);
}

function drawLine(plot, { value, label }, colour) {
  const { ctx, bbox } = plot;
  const y = Math.round(plot.valToPos(value, "y", true));
  const pixels = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = 1.5 * pixels;
  ctx.setLineDash([6 * pixels, 4 * pixels]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = `${12 * pixels}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  ctx.fillText(label, bbox.left + bbox.width, y - 7 * pixels);
  ctx.restore();
}

const isHours = (bars) => bars.some(({ short }) => short.includes(":"));

/** The bars with a name on the axis, as many as fit, evenly apart: with the last one, or for hours the midnights. */
function namedBars(count, width, hours) {
  const least = count / Math.max(1, Math.floor(width / AXIS_NAME_PX));
  const step = hours ? HOUR_STEPS.find((one) => one >= least) : Math.ceil(least);
  if (hours) return Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step);
  return Array.from({ length: count }, (_, index) => index).filter((index) => (count - 1 - index) % step === 0);
}
