/** The page of recorded measurements: one section for each kind, format and model. */

const HEAD = `# Benchmarks

Written by \`claw bench ... --record\`; a section is replaced when its measurement is repeated. Medians of the rounds, ours and
the peer's interleaved in one run; fractions are of ceilings measured in the same run.
`;

/** What tells one measurement from another. */
export interface Measured {
  readonly bench: string;
  readonly format: string;
  readonly model: { readonly preset: string | null; readonly file: string };
}

export interface Circumstances {
  /** ISO 8601. */
  readonly date: string;
  readonly machine: string;
  /** As it was typed. */
  readonly commandLine: string;
  /** Rows of names and figures. */
  readonly figures: readonly (readonly [string, string])[];
}

/** `page`, which may be empty, with the section of this measurement in place of an older one. */
export function recordSection(page: string, measured: Measured, circumstances: Circumstances): string {
  const { bench, format, model } = measured;
  const title = `## ${bench} ${format} ${model.preset ?? model.file}\n`;
  const section = title + sectionBody(circumstances);
  const old = page.split(/^(?=## )/m).filter((part) => part.startsWith("## "));
  const place = old.findIndex((part) => part.startsWith(title));
  const sections = place === -1 ? [...old, section] : old.with(place, section);
  return [HEAD, ...sections.map((part) => `${part.trimEnd()}\n`)].join("\n");
}

function sectionBody({ date, machine, commandLine, figures }: Circumstances): string {
  const rows = figures.map(([name, figure]) => `| ${name} | ${figure} |`).join("\n");
  return `\n\`${commandLine}\`\n\n${date}, ${machine}.\n\n| | |\n|---|---|\n${rows}\n`;
}
