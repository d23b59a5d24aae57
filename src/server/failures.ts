/** Whatever goes wrong on the way to an answer, as an error of the table. */

import { asClawError, ClawError } from "../base/mod.ts";

/** Fastify's own errors by their codes. */
const frameworkErrors: Readonly<
  Record<string, readonly [ConstructorParameters<typeof ClawError>[0], string]>
> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ["E_JSON", "The content-type of the request is not application/json."],
  FST_ERR_CTP_INVALID_JSON_BODY: ["E_JSON", "The body of the request is not valid JSON."],
  FST_ERR_CTP_EMPTY_JSON_BODY: ["E_JSON", "The request has no body."],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ["E_JSON", "The body of the request is not as long as it says."],
  FST_ERR_CTP_BODY_TOO_LARGE: ["E_BODY_TOO_LARGE", "The body of the request is larger than is accepted."],
  FST_ERR_MAX_PARAM_LENGTH: ["E_NOT_FOUND", "The path of the request is too long."],
  FST_ERR_BAD_URL: ["E_NOT_FOUND", "The path of the request cannot be read."],
};

/** A thrown value as what the client is told. What is not one of our errors stays out of the answer. */
export function publicError(thrown: unknown): ClawError {
  const known = frameworkErrors[codeOf(thrown)];
  if (known !== undefined) return new ClawError(known[0], known[1], { cause: thrown });
  const error = asClawError(thrown);
  if (error.code !== "E_INTERNAL") return error;
  return new ClawError("E_INTERNAL", "The server failed at this request.", { cause: thrown });
}

function codeOf(thrown: unknown): string {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return typeof code === "string" ? code : "";
}
