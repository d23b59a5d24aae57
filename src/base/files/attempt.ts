import { ClawError } from "../errors.ts";

/** Does something to a file. Errors: E_FILE, "`what`: reason", for what the system refuses; our own stay as they are. */
export function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof ClawError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `${what}: ${reason}.`, { cause: error });
  }
}
