// The worker that the tabs of a browser share: it holds their one stream.
import { Hub, type Bye, type Hello } from "./hub";

const hub = new Hub();
(globalThis as unknown as { onconnect: (e: MessageEvent) => void }).onconnect = (e) => {
  const port = e.ports[0]!;
  const tab = { say: (m: unknown) => port.postMessage(m) };
  port.onmessage = (m: MessageEvent<Hello | Bye>) => hub.hear(tab, m.data);
  port.postMessage({ kind: "status", status: "connecting" });
};
