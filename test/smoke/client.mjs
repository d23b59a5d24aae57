/** I/O: asks a server (URL, key and model on the command line) for a streaming chat and a completion. */
import OpenAI from "openai";

const [url, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

const stream = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Tell me a story." }],
  max_tokens: 8,
  stream: true,
});
let said = "";
for await (const chunk of stream) said += chunk.choices[0]?.delta.content ?? "";
if (said === "") throw new Error("The chat gave no text.");

const answer = await client.completions.create({
  model,
  prompt: "Once upon a time",
  max_tokens: 8,
  temperature: 0,
});
const text = answer.choices[0]?.text ?? "";
if (text === "") throw new Error("The completion gave no text.");
console.log(`chat: ${said}\ncompletion: ${text}`);
