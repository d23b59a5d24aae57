/** I/O: the stopwatch's command line: `name value` pairs to speed.cc, which says what they mean. See README.md. */
import { measure } from "./native.mjs";

try {
  const names = ["model", "threads", "task", "sequences", "filled", "steps"];
  const given = process.argv.slice(2);
  const settings = names.map((name) => {
    const at = given.indexOf(name);
    if (at === -1 || given[at + 1] === undefined) throw new Error(`${name} is missing.`);
    return [name, given[at + 1]];
  });
  process.exitCode = await measure(Object.fromEntries(settings));
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
