/** The options as a JSON Schema (draft 2020-12, json-schema.org) and as the table of docs/reference/config.md. */

import { TEXT_LENGTH_MAX } from "./limits.ts";
import {
  entriesOf,
  expectation,
  type NamedOption,
  type Option,
  type OptionKind,
  type OptionTable,
} from "./option.ts";

type Schema = { readonly [key: string]: unknown };

/** A schema of the documents that `readDocument` takes. */
export function configSchema<S>(table: OptionTable<S>): Schema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Configuration of claw serve",
    ...objectSchema(entriesOf(table), ""),
  };
}

/** The object of a section, and within it those of its own sections. */
function objectSchema(options: readonly NamedOption[], section: string): Schema {
  const properties: Record<string, Schema> = section === "" ? { $schema: { type: "string" } } : {};
  for (const [, option] of options) {
    if (option.name === undefined || !option.name.startsWith(section)) continue;
    const [key = "", ...inner] = option.name.slice(section.length).split(".");
    properties[key] ??=
      inner.length === 0 ? optionSchema(option) : objectSchema(options, `${section}${key}.`);
  }
  return { type: "object", properties, additionalProperties: false };
}

function optionSchema(option: Option<unknown>): Schema {
  const { default: value } = option;
  const usual = value === undefined || option.kind.type === "records" ? {} : { default: value };
  return { description: explanation(option), ...kindSchema(option.kind), ...usual };
}

function kindSchema(kind: OptionKind): Schema {
  switch (kind.type) {
    case "switch":
      return { type: "boolean" };
    case "text": {
      const pattern = kind.pattern === undefined ? {} : { pattern: kind.pattern.source };
      return { type: "string", minLength: 1, maxLength: TEXT_LENGTH_MAX, ...pattern };
    }
    case "number":
      return { type: kind.whole ? "integer" : "number", minimum: kind.min, maximum: kind.max };
    case "choice":
      return { type: "string", enum: kind.choices };
    case "choices":
      return { type: "array", items: { type: "string", enum: kind.choices }, minItems: 1, uniqueItems: true };
    case "records": {
      const { fields, required, oneOf, max } = kind;
      const alternatives = oneOf.length === 0 ? {} : { oneOf: oneOf.map((name) => ({ required: [name] })) };
      const { $schema: _, ...properties } = objectSchema(fields, "")["properties"] as Schema;
      const items = { type: "object", properties, required, additionalProperties: false, ...alternatives };
      return { type: "array", maxItems: max, items };
    }
  }
}

function explanation({ meaning, unit, otherwise, live }: Option<unknown>): string {
  const parts = [
    meaning,
    ...(unit === undefined ? [] : [`unit: ${unit}`]),
    ...(otherwise === undefined ? [] : [`default: ${otherwise}`]),
    ...(live ? ["can change while the server runs"] : []),
  ];
  return parts.join("; ");
}

/** One row for every option that a file may name. */
export function configTable<S>(table: OptionTable<S>): string {
  const rows = entriesOf(table).flatMap(([, option]) => {
    if (option.name === undefined) return [];
    const own = tableRow(option.name, option);
    if (option.kind.type !== "records") return [own];
    const { fields } = option.kind;
    return [own, ...fields.map(([, field]) => tableRow(`${option.name}[].${field.name}`, field))];
  });
  return ["| Name | Meaning | Values | Default | Flag | Live |", "|---|---|---|---|---|---|", ...rows].join(
    "\n",
  );
}

function tableRow(name: string, option: Option<unknown>): string {
  const { meaning, kind, unit, flag, live, default: value, otherwise } = option;
  const usual = otherwise ?? (value === undefined || value === "" ? "" : `\`${JSON.stringify(value)}\``);
  const cells = [
    `\`${name}\``,
    meaning,
    expectation(kind, unit),
    usual,
    flag === undefined ? "" : `\`--${flag}\``,
    live ? "yes" : "",
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
