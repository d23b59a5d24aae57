/** `claw model keygen`, `claw model seal` and `claw model verify`: who vouches for a model, and whether it is still that one. */

import { ClawError } from "../../base/mod.ts";
import { switchOption, textOption } from "../../config/mod.ts";
import { makeKeys, readPrivateKey, readPublicKey, readSeal, sealModel, verifyModel } from "../../seal/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print, printJson, progressLine } from "../terminal.ts";

export const modelKeygen: Command = defineCommand<object>({
  name: "model keygen",
  summary: "Makes a P-256 key to seal models with, and FILE.pub to verify seals with.",
  operands: "FILE",
  operandCount: [1, 1],
  options: {},
  run: async (_, [path = ""]) => {
    const { privateKey, publicKey } = makeKeys(path);
    await print(
      `The private key is in ${privateKey} (keep it to yourself), the public one in ${publicKey}.\n`,
    );
  },
});

interface SealSettings {
  readonly key: string | undefined;
  readonly out: string | undefined;
  readonly json: boolean;
}

export const modelSeal: Command = defineCommand<SealSettings>({
  name: "model seal",
  summary: "Signs what a model is: an OpenSSF Model Signing bundle with the model's root.",
  operands: "FILE",
  operandCount: [1, 1],
  options: {
    key: textOption({
      flag: "key",
      placeholder: "PEM",
      meaning: "the private key, P-256 or P-384",
      default: undefined,
    }),
    out: textOption({
      flag: "out",
      placeholder: "FILE",
      meaning: "the bundle to write",
      default: undefined,
      otherwise: "FILE.sig",
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ key, out, json }, [model = ""]) => {
    if (key === undefined) throw new ClawError("E_USAGE", "claw model seal needs --key PEM.");
    const signer = readPrivateKey(key);
    const { seal, bundle } = await sealModel(model, signer, { out, onProgress: progressLine("Sealing:") });
    const tensors = Object.keys(seal.tensors).length;
    if (json) await printJson({ root: seal.root, bundle, tensors });
    else await print(`${bundle} seals ${model}: root ${seal.root}, ${tensors} tensors.\n`);
  },
});

interface VerifySettings {
  readonly key: string | undefined;
  readonly bundle: string | undefined;
  readonly ignore: string | undefined;
  readonly json: boolean;
}

export const modelVerify: Command = defineCommand<VerifySettings>({
  name: "model verify",
  summary:
    "Whether a model is the one that the owner of a key sealed; also for folders that other tools signed.",
  operands: "FILE",
  operandCount: [1, 1],
  options: {
    key: textOption({ flag: "key", placeholder: "PUB", meaning: "the public key", default: undefined }),
    bundle: textOption({
      flag: "bundle",
      placeholder: "FILE",
      meaning: "the signature",
      default: undefined,
      otherwise: "FILE.sig",
    }),
    ignore: textOption({
      flag: "ignore",
      placeholder: "NAMES",
      meaning: "files of a folder that the signature need not name, with commas between",
      default: undefined,
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ key, bundle, ignore, json }, [model = ""]) => {
    if (key === undefined) throw new ClawError("E_USAGE", "claw model verify needs --key PUB.");
    const statement = readSeal(model, [{ name: key, key: readPublicKey(key) }], bundle);
    const onProgress = progressLine("Verifying:");
    await verifyModel(model, statement, { ignored: ignore?.split(",") ?? [], onProgress });
    const root = statement.seal?.root;
    const found = {
      verified: true,
      root: root ?? null,
      signed_by: key,
      resources: statement.resources.length,
    };
    if (json) await printJson(found);
    else await print(`${model} is as it was sealed${root === undefined ? "" : `; its root is ${root}`}.\n`);
  },
});
