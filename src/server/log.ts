/** What the operator reads: lines of JSON or of text, never a prompt or an answer. */

import { type Logger, pino } from "pino";
import type { HttpOptions } from "../config/mod.ts";

export type Log = Pick<Logger, "error" | "warn" | "info" | "debug" | "level">;

/** Where lines go; each ends with a line break. */
export interface LogSink {
  write(line: string): void;
}

/** A log whose `level` may be set at any time. */
export function createLog(
  { logLevel, logFormat }: Pick<HttpOptions, "logLevel" | "logFormat">,
  sink: LogSink,
): Log {
  const stream = logFormat === "text" ? { write: (line: string) => sink.write(textLine(line)) } : sink;
  return pino(
    {
      level: logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    stream,
  );
}

/** `2026-01-01T12:00:00.000Z warn  What happened. name=value` */
function textLine(line: string): string {
  const { time, level, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const fields = Object.entries(rest).map(([name, value]) => {
    return ` ${name}=${typeof value === "string" && /^\S+$/.test(value) ? value : JSON.stringify(value)}`;
  });
  return `${time} ${String(level).padEnd(5)} ${msg}${fields.join("")}\n`;
}
