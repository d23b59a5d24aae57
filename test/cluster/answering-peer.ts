/** Processes that take links of one kind, in tests. */

import { type PeerLink, PeerListener } from "../../src/cluster/link/mod.ts";
import {
  type NodeRequest,
  receiveRequest,
  requestSettings,
  sendAnswer,
} from "../../src/cluster/nodes/request.ts";

interface AnsweringPeer {
  readonly name: string;
  readonly address: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

/** One that has the secret, and serves on links that begin with a request of this kind. */
export function answeringPeer<K extends NodeRequest["kind"]>(
  { name, secret, kind }: { readonly name: string; readonly secret: Uint8Array; readonly kind: K },
  serve: (peer: PeerLink, request: Extract<NodeRequest, { kind: K }>) => Promise<void>,
): AnsweringPeer {
  const answer = async (peer: PeerLink): Promise<void> => {
    try {
      const request = await receiveRequest(peer.link);
      if (request?.kind !== kind) return;
      await sendAnswer(peer.link);
      await serve(peer, request as Extract<NodeRequest, { kind: K }>);
    } catch {
      // the one who asked has ended, or asked what is not answered
    } finally {
      await peer.link.close();
    }
  };
  const listener = new PeerListener(
    { driver: "tcp", host: "127.0.0.1", port: 0 },
    {
      settings: () => requestSettings({ name, secret }),
      onLink: (peer) => void answer(peer),
      onRefused: () => {},
    },
  );
  const { host, port } = listener.address;
  return { name, address: { host, port }, close: () => listener.close() };
}
