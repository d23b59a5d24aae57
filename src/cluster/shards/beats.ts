/** I/O: a timer, by which a rank says that it is there. */

import type { RankLink } from "../../kernels/mod.ts";
import { BEAT_MS } from "./limits.ts";
import { sendBeat } from "./step-message.ts";

/** Says so until it is stopped, at most once for each time that the other side listens. Stops it. */
export function beat(link: RankLink): () => void {
  let sending = false;
  const timer = setInterval(() => {
    if (sending) return;
    sending = true;
    // Whoever awaits the next command hears that the link broke.
    const sent = (): void => {
      sending = false;
    };
    sendBeat(link).then(sent, sent);
  }, BEAT_MS);
  return () => clearInterval(timer);
}
