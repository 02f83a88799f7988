// The one place that talks to the API. What fails becomes a Problem, also where
// the answer is garbage or none came.
import type { Accepted, Principal, Readiness } from "./types";

export class Problem extends Error {
  constructor(readonly status: number, readonly code: string, title: string, readonly detail = "", readonly requestId = "", readonly retryAfter = 0, readonly field = "") {
    super(detail ? `${title}: ${detail}` : title);
  }
}

export type Params = Record<string, string | number | boolean | undefined>;

const namespaceKey = "tasktrail.namespace";

// namespace is the one the address names, else the one chosen last. Empty means
// the token's own.
export function namespace(): string {
  return new URLSearchParams(location.search).get("ns") ?? localStorage.getItem(namespaceKey) ?? "";
}

export function rememberNamespace(ns: string) {
  if (ns) localStorage.setItem(namespaceKey, ns);
  else localStorage.removeItem(namespaceKey);
}

export function apiURL(path: string, params: Params = {}): string {
  const q = new URLSearchParams();
  const ns = namespace();
  if (ns) q.set("namespace", ns);
  for (const [k, v] of Object.entries(params)) if (v !== undefined && v !== "") q.set(k, String(v));
  const s = q.toString();
  return `/api/v1${path}${s ? `?${s}` : ""}`;
}

const patienceMs = 30_000; // the server itself gives up a question sooner

// fetched is an answer with all of its text. Who waits for one that never comes is
// told so in the end.
async function fetched(method: string, url: string, init: RequestInit): Promise<[Response, string]> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), patienceMs);
  try {
    const res = await fetch(url, { method, credentials: "same-origin", ...init, signal: init.signal ? AbortSignal.any([init.signal, late.signal]) : late.signal });
    return [res, await res.text()];
  } catch (e) {
    if (late.signal.aborted) throw new Problem(0, "timeout", "The server does not answer", `nothing came within ${patienceMs / 1000} s; it may be overloaded, or something between here and it is`);
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new Problem(0, "unreachable", "The server does not answer", "check that it runs and that this machine reaches it");
  } finally {
    clearTimeout(timer);
  }
}

async function call<T>(method: string, url: string, init: RequestInit = {}): Promise<T> {
  const [res, text] = await fetched(method, url, init);
  let body: unknown;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    throw new Problem(res.status, "unreadable", "The answer cannot be read", `status ${res.status}, not JSON`);
  }
  // Every read has a body; a good status without one is a proxy's, not the API's.
  if (res.ok && body === undefined && method === "GET") throw new Problem(res.status, "unreadable", "The answer cannot be read", `status ${res.status}, empty`);
  if (res.ok && method === "GET" && (typeof body !== "object" || body === null || Array.isArray(body))) throw new Problem(res.status, "unreadable", "The answer cannot be read", "it is not an object of the API");
  if (res.ok) return body as T;
  const p = (typeof body === "object" && body !== null ? body : {}) as { title?: string; detail?: string; code?: string; request_id?: string; field?: string };
  const problem = new Problem(res.status, p.code ?? "unknown", p.title ?? `Status ${res.status}`, p.detail, p.request_id, Number(res.headers.get("Retry-After") ?? 0), p.field);
  if (res.status === 401) window.dispatchEvent(new Event("tasktrail:signed-out"));
  throw problem;
}

export function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  return call<T>("GET", apiURL(path, params), { signal });
}

// getList is get for what answers with a list.
export async function getList<T extends { data: unknown[] }>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  const body = await get<T>(path, params, signal);
  if (!Array.isArray(body.data)) throw new Problem(200, "unreadable", "The answer cannot be read", "it has no list");
  return body;
}

const sendKey = (): string => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// send changes something. Each call is one wish: it carries a key of its own, so
// that what is sent twice on the way is done once.
export function send<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: Record<string, unknown>, key = sendKey()): Promise<T> {
  if (body === undefined) return call<T>(method, apiURL(path), { headers: { "Idempotency-Key": key } });
  return call<T>(method, apiURL(path), { body: JSON.stringify(body), headers: { "Idempotency-Key": key, "Content-Type": "application/json" } });
}

export function post<T = Accepted>(path: string, body: Record<string, unknown>, key?: string): Promise<T> {
  return send<T>("POST", path, body, key);
}

// readiness is asked outside the API: /readyz needs no token and says 503 with the
// same body where a part is missing.
export async function readiness(signal?: AbortSignal): Promise<Readiness> {
  const res = await fetch("/readyz", { signal });
  return (await res.json()) as Readiness;
}

// Send is one thing somebody wants done. Pressed again because no answer came, it
// takes the same Idempotency-Key, so that it is done once. What was refused, or is
// something else by now, is a new request.
export class Send {
  #of = "";
  #key = "";
  async post<T = Accepted>(path: string, body: Record<string, unknown>): Promise<T> {
    const of = `${path} ${JSON.stringify(body)}`;
    if (this.#of !== of) [this.#of, this.#key] = [of, sendKey()];
    try {
      return await post<T>(path, body, this.#key);
    } catch (e) {
      if (e instanceof Problem && e.status >= 400 && e.status < 500 && e.status !== 429) this.#of = "";
      throw e;
    }
  }
}

export function signIn(token: string): Promise<Principal> {
  return call<Principal>("POST", "/api/v1/session", { headers: { Authorization: `Bearer ${token}` } });
}

export function signOut(): Promise<void> {
  return call<void>("DELETE", "/api/v1/session");
}

// taskPath is the address of a task in the API: its id is one segment.
export const taskPath = (id: string) => `/tasks/${encodeURIComponent(id)}`;

// asCurl is the same question for a terminal. The token is left to the reader.
export function asCurl(path: string, params?: Params): string {
  return `curl -H "Authorization: Bearer $TASKTRAIL_TOKEN" '${location.origin}${apiURL(path, params).replaceAll("'", "%27")}'`;
}
