/** Loss curves, for the terminal and as SVG. */

import { at } from "../base/mod.ts";

export interface CurvePoint {
  readonly step: number;
  /** Nats per token. */
  readonly loss: number;
}

const BARS = "▁▂▃▄▅▆▇█";

/** The curve in one line, each character the mean of as many points. */
export function sparkline(points: readonly CurvePoint[], width: number): string {
  const means = averaged(points, width).map(({ loss }) => loss);
  const [least, most] = [Math.min(...means), Math.max(...means)];
  const scale = most > least ? (BARS.length - 1) / (most - least) : 0;
  return means.map((mean) => at([...BARS], Math.round((mean - least) * scale))).join("");
}

/** Points drawn, each the mean of its neighbours. */
const POINTS_DRAWN = 800;

/** Neighbouring points joined, so that at most `limit` are left. */
function averaged(points: readonly CurvePoint[], limit: number): CurvePoint[] {
  const size = Math.max(1, Math.ceil(points.length / limit));
  const groups = Array.from({ length: Math.ceil(points.length / size) }, (_, i) =>
    points.slice(i * size, (i + 1) * size),
  );
  return groups.map((group) => ({
    step: at(group, group.length - 1).step,
    loss: group.reduce((sum, { loss }) => sum + loss, 0) / group.length,
  }));
}

const WIDTH = 800;
const HEIGHT = 400;
const MARGIN = 50;

interface Line {
  readonly name: string;
  readonly color: string;
  readonly points: readonly CurvePoint[];
}

/** A plot of the training loss and the validation loss over the steps. */
export function curveSvg(title: string, train: readonly CurvePoint[], valid: readonly CurvePoint[]): string {
  const lines: Line[] = [
    { name: "training", color: "#4477aa", points: averaged(train, POINTS_DRAWN) },
    { name: "validation", color: "#ee6677", points: valid },
  ].filter(({ points }) => points.length > 0);
  const all = lines.flatMap(({ points }) => points);
  const most = Math.ceil(Math.max(1, ...all.map(({ loss }) => loss)));
  const least = Math.floor(Math.min(most - 1, ...all.map(({ loss }) => loss)));
  const last = Math.max(1, ...all.map(({ step }) => step));
  const x = (step: number): number => MARGIN + (step / last) * (WIDTH - 2 * MARGIN);
  const y = (loss: number): number =>
    HEIGHT - MARGIN - ((loss - least) / (most - least)) * (HEIGHT - 2 * MARGIN);
  const text = (left: number, top: number, words: string): string =>
    `<text x="${left.toFixed(1)}" y="${top.toFixed(1)}">${escaped(words)}</text>`;
  const ticks = Array.from({ length: most - least + 1 }, (_, i) => least + i);
  const grid = ticks.map(
    (loss) =>
      `<path d="M${MARGIN} ${y(loss).toFixed(1)}H${WIDTH - MARGIN}" stroke="#ccc"/>${text(10, y(loss) + 4, String(loss))}`,
  );
  const drawn = lines.map(({ name, color, points }, i) => {
    const path = points.map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
    const label = `<g fill="${color}">${text(WIDTH - 2.5 * MARGIN, MARGIN + 16 * i, name)}</g>`;
    return `<polyline points="${path}" fill="none" stroke="${color}"/>${label}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(MARGIN, 20, title),
    ...grid,
    ...drawn,
    text(MARGIN, HEIGHT - 15, "step 0"),
    text(WIDTH - 2 * MARGIN, HEIGHT - 15, `step ${last}`),
    "</svg>",
    "",
  ].join("\n");
}

function escaped(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
