/** I/O: says on the standard error what is going on and since when, and ends what waits in vain. */

const began = performance.now();

export function say(text: string): void {
  process.stderr.write(`[${((performance.now() - began) / 1000).toFixed(2).padStart(8)}] ${text}\n`);
}

/** What is awaited, or an error that says what it was and how things stood. */
export async function within<T>(
  seconds: number,
  { what, state = () => "" }: { readonly what: string; readonly state?: () => string },
  work: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const tell = (): void => reject(new Error(`Waited ${seconds} s in vain: ${what}. ${state()}`));
    timer = setTimeout(tell, seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when it holds; looked at 20 times a second. */
export async function holds(
  seconds: number,
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Waited ${seconds} s in vain: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
