import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configSchema, configTable, faultsError, readDocument, serveOptions } from "../../src/config/mod.ts";

const read = (document: unknown): ReturnType<typeof readDocument> => readDocument(serveOptions, document);
const faultsOf = (document: unknown): string[] =>
  read(document).faults.map(({ path, problem }) => `${path} ${problem}`);

describe("a document", () => {
  test("becomes settings, sections and lists included, and says nothing of what it does not name", () => {
    const document = {
      $schema: "openclaw.schema.json",
      model: "m.gguf",
      precision: "i4",
      max_batch_size: 8,
      log: { level: "info" },
      metrics: { authentication: false },
      api_keys: [{ tenant: "a", key_sha256: "0".repeat(64) }],
    };
    expect(read(document)).toEqual({
      faults: [],
      values: {
        model: "m.gguf",
        format: "i4",
        maxBatch: 8,
        logLevel: "info",
        metricsAuthentication: false,
        apiKeys: [
          {
            tenant: "a",
            keySha256: "0".repeat(64),
            keyFile: undefined,
            scopes: ["inference"],
            priorityMin: 0,
          },
        ],
      },
    });
  });

  test.each<[unknown, string]>([
    [[], " is a list of 0; an object was expected"],
    ["x", ' is "x"; an object was expected'],
    [{ max_batch_size: 0 }, "max_batch_size is 0; a whole number of sequences from 1 to 512 was expected"],
    [
      { max_batch_size: 1.5 },
      "max_batch_size is 1.5; a whole number of sequences from 1 to 512 was expected",
    ],
    [
      { kv_cache_bytes: "1 GiB" },
      'kv_cache_bytes is "1 GiB"; a whole number of bytes from 1 on was expected',
    ],
    [{ context: null }, "context is null; a whole number of tokens from 2 to 16777216 was expected"],
    [{ precision: "i5" }, 'precision is "i5"; one of f16, i8, i4 was expected'],
    [{ log: { level: "loud" } }, 'log.level is "loud"; one of error, warn, info, debug was expected'],
    [{ log: "info" }, 'log is "info"; an object was expected'],
    [{ log: { levle: "info" } }, "log.levle is not known; did you mean log.level?"],
    [{ max_batchsize: 1 }, "max_batchsize is not known; did you mean max_batch_size?"],
    [{ max_batch: 1 }, "max_batch is not known; did you mean max_batch_size?"],
    [{ format: "i8" }, "format is not known; did you mean precision?"],
    [{ maxBatchSize: 1 }, "maxBatchSize is not known; did you mean max_batch_size?"],
    [{ request_timeout: 1 }, "request_timeout is not known; did you mean request_timeout_seconds?"],
    [{ colour: 1 }, "colour is not known"],
    [{ authentication: "no" }, 'authentication is "no"; true or false was expected'],
    [{ api_keys: {} }, "api_keys is an object; a list of at most 1024 objects was expected"],
    [{ api_keys: [1] }, "api_keys[0] is 1; an object was expected"],
    [{ api_keys: [{ key_file: "k" }] }, "api_keys[0].tenant is missing"],
    [{ api_keys: [{ tenant: "a" }] }, "api_keys[0] has none of key_file and key_sha256; one was expected"],
    [
      { api_keys: [{ tenant: "a", key_file: "k", scopes: ["admin", "root"] }] },
      "api_keys[0].scopes is a list of 2; a list of some of inference, metrics, admin was expected",
    ],
    [{ api_keys: [{ tenant: "a", key_file: "k", key: "x" }] }, "api_keys[0].key is not known"],
  ])("%j: %s", (document, fault) => {
    expect(faultsOf(document)).toEqual([fault]);
  });

  test("names every fault, but no more than anyone mends at once, and shows little of a long value", () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`x${index}`, 1]));
    expect(faultsOf(many)).toHaveLength(20);
    expect(faultsOf({ host: "x".repeat(5000), port: "y".repeat(5000) })).toEqual([
      expect.stringMatching(/^host is "x{59}…; /),
      expect.stringMatching(/^port is "y{59}…; /),
    ]);
    const error = faultsError("FILE", read({ port: -1, prt: 1 }).faults);
    expect(error).toMatchObject({ code: "E_CONFIG", param: "port" });
    expect(error.message).toBe(
      "FILE is not valid: port is -1; a whole number from 0 to 65535 was expected; prt is not known; did you mean port?.",
    );
    expect(JSON.parse('{"__proto__": {"port": 1}}', undefined)).toBeDefined();
    expect(faultsOf(JSON.parse('{"__proto__": {"port": 1}}'))).toEqual(["__proto__ is not known"]);
  });
});

describe("the schema", () => {
  const schema = configSchema(serveOptions);
  const validate = new Ajv2020({ strict: true, strictRequired: false }).compile(schema);

  test("describes every option with its unit and default", () => {
    const { properties } = schema as { properties: Record<string, Record<string, unknown>> };
    expect(properties["max_batch_size"]).toMatchObject({
      type: "integer",
      minimum: 1,
      maximum: 512,
      default: 16,
    });
    expect(properties["max_batch_size"]?.["description"]).toContain("unit: sequences");
    expect(properties["log"]).toMatchObject({ type: "object", additionalProperties: false });
    for (const [name, option] of Object.entries(properties)) {
      if (option["type"] !== "object" && name !== "$schema") expect(option["description"], name).toBeTruthy();
    }
  });

  test("takes the documents that the server takes, and no others", () => {
    const value = fc.oneof(
      fc.constantFrom<unknown>(
        null,
        true,
        false,
        "",
        "i8",
        "info",
        "text",
        "a.b",
        "-",
        "0".repeat(64),
        [],
        {},
      ),
      fc.integer({ min: -2, max: 70_000 }),
      fc.double(),
      fc.string(),
    );
    const keys = fc.record(
      {
        tenant: value,
        key_file: fc.constantFrom("k", ""),
        key_sha256: fc.constantFrom("0".repeat(64), "0"),
        scopes: fc.array(fc.constantFrom("inference", "admin", "root"), { maxLength: 2 }),
        priority_min: value,
        other: value,
      },
      { requiredKeys: [] },
    );
    const names = Object.values(serveOptions).flatMap(({ name }) => (name === undefined ? [] : [name]));
    const flat = names.filter((name) => !name.includes("."));
    const document = fc.record(
      {
        ...Object.fromEntries(flat.map((name) => [name, value])),
        api_keys: fc.oneof(value, fc.array(keys, { maxLength: 2 })),
        log: fc.oneof(value, fc.record({ level: value, format: value, other: value }, { requiredKeys: [] })),
        other: value,
      },
      { requiredKeys: [] },
    );
    // Documents with everything in them are never valid; most of what is tried has few fields.
    const small = document.chain((whole) => {
      return fc.subarray(Object.keys(whole), { maxLength: 2 }).map((chosen) => {
        return Object.fromEntries(chosen.map((name) => [name, Reflect.get(whole, name)]));
      });
    });
    const seen = { valid: 0, not: 0 };
    fc.assert(
      fc.property(small, (tried) => {
        const valid = read(tried).faults.length === 0;
        seen[valid ? "valid" : "not"]++;
        expect(validate(tried)).toBe(valid);
      }),
      { numRuns: 5000, seed: 4 },
    );
    expect(Math.min(seen.valid, seen.not)).toBeGreaterThan(500);
  });
});

test("docs/reference/config.md has every option as the records have it (claw config schema --table)", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/reference/config.md"), "utf8");
  expect(page).toContain(`\n${configTable(serveOptions)}\n`);
});
