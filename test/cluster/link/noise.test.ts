/** The handshake against published vectors of cacophony (Noise_NNpsk0_25519_AESGCM_SHA256), and altered messages. */

import { createCipheriv } from "node:crypto";
import { expect, test } from "vitest";
import { NoiseHandshake } from "../../../src/cluster/link/noise.ts";
import { fromHex, toHex } from "../../../src/crypto/mod.ts";

const hex = (text: string): Uint8Array => fromHex(text) ?? new Uint8Array();

const prologue = hex("4a6f686e2047616c74");
const secret = hex("54686973206973206d7920417573747269616e20706572737065637469766521");
const ephemerals = [
  hex("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"),
  hex("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"),
];
const payloads = ["4c756477696720766f6e204d69736573", "4d757272617920526f746862617264"].map(hex);
const messages = [
  "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79447c37a89fc17813788d30df2d59501d6066f5f8aecc3406bbd9829f2d24a531b1",
  "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088432f29d79368ef9de4e1ae7a362fb05bf0ad668e026bf5714554497b3a720461",
];
/** The first message of each direction after the handshake. */
const transport = [
  { payload: "462e20412e20486179656b", sealed: "7c01e898a6201f36aecee532e29cd0b7f8ffa29d3366ad0dce39a6" },
  { payload: "4361726c204d656e676572", sealed: "a9ff535aace3db6a1da1a7fb00fe2de2622bb373abad9fb42c00e0" },
];

function sealed(key: Uint8Array, payload: Uint8Array): string {
  const cipher = createCipheriv("aes-256-gcm", key, new Uint8Array(12));
  return toHex(Buffer.concat([cipher.update(payload), cipher.final(), cipher.getAuthTag()]));
}

test("both sides say what the vectors say, and agree on their keys", () => {
  const [initiator, responder] = ephemerals.map((key) => new NoiseHandshake(prologue, secret, key));
  const [first = new Uint8Array(), second = new Uint8Array()] = payloads;
  const question = initiator?.write(first) ?? new Uint8Array();
  expect(toHex(question)).toBe(messages[0]);
  expect(responder?.read(question)).toEqual(first);
  const answer = responder?.writeAnswer(second, question) ?? new Uint8Array();
  expect(toHex(answer)).toBe(messages[1]);
  expect(initiator?.readAnswer(answer)).toEqual(second);
  const keys = initiator?.split();
  expect(responder?.split()).toEqual(keys);
  for (const [index, key] of [keys?.initiator, keys?.responder].entries()) {
    const { payload = "", sealed: expected } = transport[index] ?? {};
    expect(sealed(key ?? new Uint8Array(), hex(payload))).toBe(expected);
  }
  expect(
    new Set(
      [keys?.initiator, keys?.responder, keys?.confirmation].map((key) => toHex(key ?? new Uint8Array())),
    ).size,
  ).toBe(3);
});

test("every altered bit, another secret and another prologue are refused", () => {
  const question = new NoiseHandshake(prologue, secret).write(Uint8Array.of(1, 2, 3));
  let refused = 0;
  for (let bit = 0; bit < question.length * 8; bit++) {
    const altered = Uint8Array.from(question);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(() => new NoiseHandshake(prologue, secret).read(altered)).toThrow("secret");
    refused++;
  }
  expect(refused).toBe(8 * (32 + 3 + 16));
  for (const length of [0, 1, 47, question.length - 1]) {
    expect(() => new NoiseHandshake(prologue, secret).read(question.subarray(0, length))).toThrow("secret");
  }
  expect(() => new NoiseHandshake(prologue, new Uint8Array(32)).read(question)).toThrow("secret");
  expect(() => new NoiseHandshake(new Uint8Array(), secret).read(question)).toThrow("secret");
});

test("a peer's key of small order is refused", () => {
  const initiator = new NoiseHandshake(prologue, secret);
  initiator.write(new Uint8Array());
  expect(() => initiator.readAnswer(new Uint8Array(48))).toThrow("secret");
});
