import { expect, test } from "vitest";
import { closest, engineOptions, parseFlags, samplingOptions, serveOptions } from "../../src/config/mod.ts";
import { BATCH_DEFAULT, BATCH_MAX, defaultSampling } from "../../src/engine/mod.ts";

test("options repeat the engine's own defaults and bounds", () => {
  expect(engineOptions.maxBatch.default).toBe(BATCH_DEFAULT);
  expect(engineOptions.maxBatch.kind).toMatchObject({ max: BATCH_MAX });
  for (const name of ["temperature", "topK", "topP", "minP", "repetitionPenalty"] as const) {
    expect(samplingOptions[name].default, name).toBe(defaultSampling[name]);
  }
});

test("flags take their values in both ways, anywhere, and operands are what is left", () => {
  const { settings, operands, help } = parseFlags(serveOptions, [
    "one",
    "--port=81",
    "--format",
    "i4",
    "--no-auth",
    "two",
    "--",
    "--three",
  ]);
  expect(settings).toMatchObject({
    port: 81,
    format: "i4",
    authentication: false,
    host: "127.0.0.1",
    model: undefined,
  });
  expect(operands).toEqual(["one", "two", "--three"]);
  expect(help).toBe(false);
  expect(parseFlags(serveOptions, ["--nonsense", "-h"]).help).toBe(true);
});

test.each([
  ["fromat", "format"],
  ["port", "port"],
  ["prt", "port"],
  ["zzzzzz", undefined],
])("%s probably means %s", (word, meant) => {
  expect(closest(word, ["format", "port", "host"])).toBe(meant);
});
