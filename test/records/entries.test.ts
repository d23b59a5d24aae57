import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/crypto/mod.ts";
import { ENTRY_BYTES_MAX as logMax } from "../../src/ledger/limits.ts";
import { ENTRY_BYTES_MAX } from "../../src/records/entry.ts";
import {
  canonicalJson,
  encodeEntry,
  entryTime,
  parseCanonicalJson,
  parseEntry,
} from "../../src/records/mod.ts";
import { close, open, progress } from "./entry.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("RFC 8785", () => {
  test("section 3.2.2: literals, numbers and strings", () => {
    const input =
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
      '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}';
    expect(canonicalJson(JSON.parse(input))).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  test("section 3.2.3: names in the order of their UTF-16 units", () => {
    const input =
      '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",' +
      '"\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"Latin Small Letter O With Diaeresis"}';
    const names = Object.values(JSON.parse(canonicalJson(JSON.parse(input))));
    expect(names.filter((name) => name !== "One")).toEqual([
      "Carriage Return",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh",
    ]);
    expect(canonicalJson(JSON.parse(input))).toMatch(/^\{"\\r":"Carriage Return","1":"One"/);
  });

  test.each([
    ["0000000000000000", "0"],
    ["8000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af5", "9.999999999999997e+22"],
    ["44b52d02c7e14af6", "1e+23"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555555", "333333333.3333333"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
  ])("appendix B: %s is %s", (bits, spelled) => {
    expect(canonicalJson(Buffer.from(bits, "hex").readDoubleBE())).toBe(spelled);
  });

  test("what is no I-JSON is refused", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, "\ud83d", ["\ude00"]]) {
      expect(() => canonicalJson(value)).toThrow(expect.objectContaining({ code: "E_ENTRY" }));
    }
  });

  test("any value comes back from its one spelling", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        if (!JSON.stringify(value).isWellFormed() || /\\ud[89a-f]/.test(JSON.stringify(value))) return;
        const spelled = canonicalJson(value as never);
        expect(canonicalJson(parseCanonicalJson(utf8(spelled)))).toBe(spelled);
      }),
    );
  });
});

describe("entries", () => {
  test("each kind comes back as it was, within what a bundle holds", () => {
    for (const entry of [open, progress, close]) expect(parseEntry(encodeEntry(entry))).toEqual(entry);
    expect(ENTRY_BYTES_MAX).toBe(logMax);
  });

  const spelled = text(encodeEntry(close));
  test.each([
    ["a space", spelled.replace(":", ": ")],
    ["another order", `{"v":1,${spelled.slice(1).replace(',"v":1', "")}`],
    ["a field twice", `{"error":"E_A",${spelled.slice(1)}`.replace("{", '{"error":"E_A",')],
    ["an unknown field", `{"a":1,${spelled.slice(1)}`],
    ["a missing field", spelled.replace(/"tokens":3,"v"/, '"v"').replace(/,"tokens":3\}/, "}")],
    ["another version", spelled.replace('"v":1', '"v":2')],
    ["another kind", spelled.replace('"kind":"close"', '"kind":"clone"')],
    ["upper case", spelled.replace("abab", "ABAB")],
    ["a byte order mark", `\ufeff${spelled}`],
    ["nothing", ""],
    ["no object", "[]"],
  ])("%s is refused", (_, altered) => {
    expect(altered).not.toBe(spelled);
    expect(() => parseEntry(utf8(altered))).toThrow(expect.objectContaining({ code: "E_ENTRY" }));
  });

  test("cut and flipped entries are refused or are other entries, and too long ones are neither made nor read", () => {
    const bytes = encodeEntry(close);
    let refused = 0;
    for (let i = 0; i < bytes.length; i++) {
      const flipped = bytes.map((byte, at) => (at === i ? byte ^ 0x80 : byte));
      for (const altered of [bytes.slice(0, i), flipped]) {
        expect(() => parseEntry(altered)).toThrow(expect.objectContaining({ code: "E_ENTRY" }));
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
    const nodes = Array.from({ length: 400 }, (_, i) => String(i).padStart(250, "n"));
    const long = expect.objectContaining({ code: "E_ENTRY" });
    expect(() => encodeEntry({ ...open, nodes })).toThrow(long);
    expect(() => parseEntry(new Uint8Array(ENTRY_BYTES_MAX + 1))).toThrow(long);
  });

  test("a time that no calendar has is said as a number", () => {
    expect(entryTime({ ...open, time: 0 })).toBe("1970-01-01T00:00:00.000Z");
    const { time, ...rest } = parseEntry(encodeEntry({ ...open, time: 2 ** 53 - 1 }));
    expect(entryTime({ ...rest, time } as typeof open)).toBe("9007199254740991");
  });
});
