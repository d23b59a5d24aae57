/** I/O: certificates for tests, by the openssl of this machine: an authority, a server at 127.0.0.1 and a client. */

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

function canRun(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export const opensslHere: boolean = canRun();

export interface Certificate {
  readonly cert: string;
  /** For its owner alone. */
  readonly key: string;
}

/** An authority in a folder, and what it signs. */
export class Authority {
  readonly #folder: string;
  readonly ca: string;
  readonly #key: string;

  constructor(folder: string, name = "ca") {
    this.#folder = folder;
    this.ca = join(folder, `${name}.pem`);
    this.#key = join(folder, `${name}.key`);
    const subject = ["-subj", `/CN=${name}`, "-days", "2", "-nodes"];
    openssl(["req", "-x509", ...KEY, "-keyout", this.#key, "-out", this.ca, ...subject]);
  }

  sign(name: string): Certificate {
    const [cert, key, request, extensions] = ["pem", "key", "csr", "cnf"].map((ending) =>
      join(this.#folder, `${name}.${ending}`),
    ) as [string, string, string, string];
    openssl(["req", ...KEY, "-nodes", "-keyout", key, "-out", request, "-subj", `/CN=${name}`]);
    writeFileSync(extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    const authority = ["-CA", this.ca, "-CAkey", this.#key, "-CAcreateserial", "-days", "2"];
    openssl(["x509", "-req", "-in", request, "-out", cert, ...authority, "-extfile", extensions]);
    return { cert, key };
  }
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

function openssl(args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: "ignore" });
}
