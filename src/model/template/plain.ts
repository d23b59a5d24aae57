import { type ChatMessage, templateError } from "./messages.ts";

/**
 * Where a model that continues a plain transcript should be stopped: before it writes the user's next line
 * itself.
 */
export const plainStops: readonly string[] = ["\nUser:"];

const speakers: ReadonlyMap<string, string> = new Map([
  ["user", "User"],
  ["assistant", "Assistant"],
  ["tool", "Tool"],
]);

/**
 * The transcript for a model without a template of its own. System and developer messages are their text and
 * a blank line; every other message is a line `User: text`, `Assistant: text` or `Tool: text`; a generation
 * prompt is `Assistant:`, which the model continues after a space. Throws E_TEMPLATE for another role.
 */
export function renderPlain(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
  return messages.map(renderMessage).join("") + (addGenerationPrompt ? "Assistant:" : "");
}

function renderMessage({ role, content }: ChatMessage): string {
  if (role === "system" || role === "developer") return `${content}\n\n`;
  const speaker = speakers.get(role);
  if (speaker !== undefined) return `${speaker}: ${content}\n`;
  const known = ["system", "developer", ...speakers.keys()].join(", ");
  throw templateError(`Rendering a chat: the role ${JSON.stringify(role)} is not one of ${known}.`);
}
