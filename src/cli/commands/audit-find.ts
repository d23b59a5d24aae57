/** I/O: `claw audit find`: which entries of a ledger are of a request, a capability token or a time. */

import { type Found, findEntries, type Known } from "../../audit/mod.ts";
import { ClawError } from "../../base/mod.ts";
import { textOption, twoColumns } from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { type LedgerSettings, ledgerSettings, openArchive } from "../ledger-settings.ts";
import { print, printJson } from "../terminal.ts";

interface FindSettings extends LedgerSettings {
  readonly request: string | undefined;
  readonly revocation: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

const time = (flag: "from" | "to", meaning: string) =>
  textOption({ flag, placeholder: "TIME", meaning: `${meaning}, as in RFC 3339`, default: undefined });

export const auditFind: Command = defineCommand<FindSettings>({
  name: "audit find",
  summary: "Finds the entries of a request, of a capability token, or of a time.",
  options: {
    ...ledgerSettings,
    request: textOption({
      flag: "request",
      placeholder: "ID",
      meaning: "the `x-request-id` of the answer",
      default: undefined,
    }),
    revocation: textOption({
      flag: "revocation",
      placeholder: "ID",
      meaning: "a revocation id of the token that the request came with",
      default: undefined,
    }),
    from: time("from", "the first moment"),
    to: time("to", "the moment behind the last; now unless told"),
  },
  run: async (settings) => {
    const known = knownOf(settings);
    const archive = await openArchive("audit find", settings);
    const found = await findEntries(settings.ledger ?? "", archive, known);
    if (settings.json) return printJson({ entries: found.map(({ index, entry }) => ({ index, entry })) });
    return print(found.length === 0 ? "No entry is of that.\n" : `${twoColumns(found.map(described))}\n`);
  },
});

/** Errors: E_USAGE unless exactly one thing is asked for. */
function knownOf({ request, revocation, from, to }: FindSettings): Known {
  const known: Known[] = [];
  if (request !== undefined) known.push({ request });
  if (revocation !== undefined) known.push({ revocation });
  if (from !== undefined) known.push({ from: timeOf(from), to: to === undefined ? Date.now() : timeOf(to) });
  const [only, other] = known;
  if (only !== undefined && other === undefined && (to === undefined || from !== undefined)) return only;
  throw new ClawError(
    "E_USAGE",
    "claw audit find needs one of --request, --revocation, and --from with --to.",
  );
}

function timeOf(text: string): number {
  const time = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new ClawError("E_USAGE", `${JSON.stringify(text)} is no time such as 2026-01-31T12:00:00Z.`);
}

function described({ index, entry }: Found): readonly [string, string] {
  const { kind, time, stream } = entry;
  const of = entry.kind === "progress" ? `stream ${stream}` : `request ${entry.request}, ${entry.tenant}`;
  const tokens = entry.kind === "open" ? "" : `, ${entry.tokens} tokens`;
  const finish = entry.kind === "close" ? `, ${entry.finish}` : "";
  return [String(index), `${new Date(time).toISOString()} ${kind}: ${of}${tokens}${finish}`];
}
