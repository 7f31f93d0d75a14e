// The margin of one sample over the epochs, per draw, with the thresholds.
import { drawing } from "./dom.js";

export function curve({ draws, first_epoch: first, aum }) {
  const [width, height, left, bottom] = [310, 140, 30, 18];
  const values = draws.flatMap((draw) => [...draw.margin, draw.threshold]).concat(0);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const epochs = draws.length ? draws[0].margin.length : 1;
  const x = (epoch) => left + (epochs > 1 ? epoch / (epochs - 1) : .5) * (width - left - 4);
  const y = (value) => 4 + (high - value) / (high - low || 1) * (height - bottom - 8);
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.append(drawing("title", {}, `Mean margin ${aum.toFixed(2)}; ` + draws.map((draw) => `threshold of draw ${draw.draw + 1}: ${draw.threshold.toFixed(2)}`).join(", ")));
  svg.append(drawing("rect", { class: "counts", x: x(first), y: 2, width: Math.max(0, width - 4 - x(first)), height: height - bottom - 2, rx: 3 }));
  svg.append(drawing("line", { class: "zero", x1: left, x2: width - 4, y1: y(0), y2: y(0) }));
  svg.append(drawing("text", { x: left - 5, y: y(0) + 3, "text-anchor": "end" }, "0"));
  for (const end of [low, high]) {
    if (Math.abs(y(end) - y(0)) > 12) svg.append(drawing("text", { x: left - 5, y: y(end) + 3, "text-anchor": "end" }, end.toFixed(1)));
  }
  for (const { draw, margin, threshold } of draws) {
    const kind = `draw-${draw % 3}`;
    svg.append(drawing("line", { class: `threshold ${kind}`, x1: left, x2: width - 4, y1: y(threshold), y2: y(threshold) }));
    svg.append(drawing("polyline", { class: kind, points: margin.map((value, epoch) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  }
  svg.append(drawing("text", { x: left, y: height - 4 }, "epoch 0"));
  svg.append(drawing("text", { x: width - 4, y: height - 4, "text-anchor": "end" }, String(epochs - 1)));
  draws.forEach(({ draw }, at) => svg.append(drawing("text", { class: `draw-${draw % 3}`, x: left + 70 + 62 * at, y: height - 4 }, `draw ${draw + 1}`)));
  svg.append(drawing("text", { x: left + 70 + 62 * draws.length, y: height - 4 }, "- - threshold"));
  return svg;
}
