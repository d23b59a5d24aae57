/** The page that verifies receipts, opened from the disk in a real browser. */

import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Receipt } from "../../src/records/mod.ts";
import { verifierModule, verifierPage } from "../../tools/build-verify.ts";
import { claw, type Outcome } from "../cli/claw.ts";
import { alteredReceipts, type Made, makeLog } from "../records/receipts.ts";

const paths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = paths.find(existsSync);
const why = executablePath === undefined ? " (skipped: the package chromium is not installed)" : "";

const folder = mkdtempSync(join(tmpdir(), "claw-page-"));
const file = join(folder, "receipt.html");
let made: Made;
let told: Outcome;
let browser: Browser;
let page: Page;
/** What the page asked for beside itself, and what it complained of. */
const requests: string[] = [];
const complaints: string[] = [];

async function openPage(): Promise<void> {
  page = await browser.newPage();
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(pathToFileURL(file).href);
}

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Fills the form in as a person does, and waits for the verdict. */
async function verdict(receipt: string, keys: string, witnesses = ""): Promise<string> {
  const chosen = join(folder, "receipt.json");
  writeFileSync(chosen, receipt);
  await page.getByLabel("Receipt", { exact: true }).setInputFiles(chosen);
  await page.getByLabel("Public key of the log").fill(keys);
  await page.getByLabel("Public keys of witnesses").fill(witnesses);
  await page.getByRole("button", { name: "Verify" }).press("Enter");
  await page.getByRole("status").getByRole("heading").waitFor();
  return await page.getByRole("status").innerText();
}

describe.skipIf(executablePath === undefined)(`in a browser${why}`, () => {
  beforeAll(async () => {
    made = await makeLog(folder, "log");
    told = await claw(["receipt", "page", "--out", file]);
    expect(told).toMatchObject({ status: 0, stderr: "" });
    browser = await chromium.launch({ ...(executablePath && { executablePath }) });
    await openPage();
  });

  test("is the same file wherever the same sources are, by the digest that the command prints", async () => {
    const page = readFileSync(file, "utf8");
    expect(told.stdout).toContain(createHash("sha256").update(page).digest("hex"));
    expect(await verifierPage()).toBe(page);
  });

  test("says what was verified of each kind of entry, and what was not", async () => {
    const [open, progress, close] = made.receipts.map((receipt) => JSON.stringify(receipt)) as [
      string,
      string,
      string,
    ];
    const keys = `${made.key.vkey}\n`;
    const whole = await verdict(close, keys);
    expect(whole).toContain("Verified: entry 2 is in the log ledger.example/log");
    expect(whole).toContain("a checkpoint over 3 entries");
    expect(whole).toMatch(/tokens are those that the entry commits to: 3 of the prompt, 2 of the answer/);
    expect(whole).toContain("No witness was asked for");
    expect(whole).toContain("2025-11-24T16:00:00.000Z");
    expect(await verdict(open, keys)).toContain("No tokens came with the receipt");
    expect(await verdict(progress, keys)).toMatch(/Verified: entry 1 [\s\S]*Tokens so far\s+32/);
  });

  test("refuses altered receipts, other keys and missing witnesses, with the code", async () => {
    const receipt = made.receipts[2] as Receipt;
    const altered = alteredReceipts(receipt);
    expect(altered.length).toBeGreaterThanOrEqual(9);
    for (const { what, receipt, code } of altered) {
      const said = await verdict(receipt, made.key.vkey);
      expect([what, said.split("\n")[0]]).toEqual([what, `Refused: ${code}`]);
      expect(said).not.toContain("Verified");
    }
    const whole = JSON.stringify(receipt);
    const other = (await makeLog(folder, "other")).key.vkey;
    expect(await verdict(whole, other)).toContain("Refused: E_NOTE");
    expect(await verdict(whole, "no key")).toContain("Refused: E_NOTE");
    expect(await verdict(whole, made.key.vkey, other)).toContain("Refused: E_PROOF");
    expect(await verdict("", made.key.vkey)).toContain("Refused: E_RECEIPT");
    expect(await verdict("x".repeat(16 * 1024 * 1024 + 1), made.key.vkey)).toContain("has more than");
  });

  test("takes a verdict away when the form changes, and shows what an entry says as text", async () => {
    const fork = await makeLog(folder, "fork");
    expect(await verdict(JSON.stringify(fork.receipts[0]), fork.key.vkey)).toContain("<b>another</b>");
    await page.getByLabel("Public key of the log").pressSequentially(" ");
    expect(await page.getByRole("status").innerText()).toBe("");
  });

  test("asks for nothing but itself, and its policy lets nothing else in", async () => {
    expect(requests).toEqual([pathToFileURL(file).href]);
    expect(complaints).toEqual([]);
    const outcome = (code: string): Promise<unknown> => page.evaluate(`(async () => { ${code} })()`);
    const violations = `const seen = [];
      document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => seen.push(effectiveDirective));`;
    const settle = "await new Promise((resolve) => setTimeout(resolve, 50)); if (seen.length > 0) break;";
    const violated = (act: string): Promise<unknown> =>
      outcome(`${violations} ${act} for (let i = 0; i < 100; i++) { ${settle} } return seen[0];`);
    expect(await violated(`fetch("http://127.0.0.1:9/").catch(() => {});`)).toBe("connect-src");
    expect(await violated(`new Image().src = "http://127.0.0.1:9/a.png";`)).toBe("img-src");
    const script = `const script = document.createElement("script"); script.text = "window.ran = true";`;
    expect(
      await outcome(`try { ${script} document.head.append(script); } catch {} return window.ran === true;`),
    ).toBe(false);
    expect(
      await outcome(`try { document.body.innerHTML = "<p>"; return "set"; } catch { return "refused"; }`),
    ).toBe("refused");
  });

  test("runs the module of the package, too", async () => {
    const blank = await browser.newPage();
    const call = {
      module: await verifierModule(),
      receipt: JSON.stringify(made.receipts[2]),
      key: made.key.vkey,
    };
    const found = await blank.evaluate(`(async ({ module, receipt, key }) => {
      const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
      const { verifyReceipt } = await import(url);
      return verifyReceipt(receipt, { keys: [key] }).index;
    })(${JSON.stringify(call)})`);
    expect(found).toBe(2);
  });
});
