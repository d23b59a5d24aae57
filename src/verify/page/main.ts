/** The page's script: reads the form, verifies, and says in words what was shown and what was not. It asks no network. */

import { asClawError, ClawError } from "../../base/mod.ts";
import { RECEIPT_CHARACTERS_MAX } from "../../records/mod.ts";
import { publicKeys, verifyReceipt } from "../verify-receipt.ts";
import { refusal, type Verdict, verdictOf } from "./verdict.ts";

/** A character has three bytes at most, so that what is longer is too long in characters, too. */
const RECEIPT_BYTES_READ = 3 * RECEIPT_CHARACTERS_MAX + 3;

const field = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E;

const form = field<HTMLFormElement>("form");
const receiptField = field<HTMLInputElement>("receipt");
const keysField = field<HTMLTextAreaElement>("keys");
const witnessesField = field<HTMLTextAreaElement>("witnesses");
const verdictField = field("verdict");

/** Grows with every change of the form: a verdict on what it held before is not shown. */
let version = 0;

form.addEventListener("input", () => {
  version++;
  verdictField.replaceChildren();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = ++version;
  void verdict().then((found) => {
    if (asked === version) show(found);
  });
});

async function verdict(): Promise<Verdict> {
  try {
    const [keys, witnesses] = [publicKeys(keysField.value), publicKeys(witnessesField.value)];
    const verified = verifyReceipt(await chosenReceipt(), { keys, witnesses });
    return verdictOf(verified, witnesses.length);
  } catch (thrown) {
    return refusal(asClawError(thrown));
  }
}

async function chosenReceipt(): Promise<string> {
  const [file] = receiptField.files ?? [];
  if (file === undefined) throw new ClawError("E_RECEIPT", "No receipt was chosen.");
  try {
    return await file.slice(0, RECEIPT_BYTES_READ).text();
  } catch (cause) {
    throw new ClawError("E_FILE", `The file ${file.name} cannot be read, or was changed meanwhile.`, {
      cause,
    });
  }
}

function show({ good, title, statements, facts }: Verdict): void {
  const heading = element("h2", title);
  heading.className = good ? "verified" : "refused";
  const list = document.createElement("ul");
  list.append(...statements.map((statement) => element("li", statement)));
  const details = document.createElement("dl");
  details.append(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  verdictField.replaceChildren(heading, list, details);
}

function element(name: string, text: string): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
