// Who looks, and what the token in the cookie may do. What it may not do is not
// offered; the server decides all the same.
import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { Principal, Scope } from "../api/types";

export type May = { readAll: boolean; payload: boolean; operate: boolean; operateAll: boolean; admin: boolean };

export const whoami = { queryKey: ["whoami"] as const, queryFn: ({ signal }: { signal: AbortSignal }) => get<Principal>("/whoami", {}, signal), staleTime: 300_000 };

// mayOf follows the server's own rules: admin holds every scope, and a token of one
// user changes nothing that is everybody's.
export function mayOf(p: Pick<Principal, "scopes" | "user_id">): May {
  const has = (s: Scope) => p.scopes.includes(s) || p.scopes.includes("admin");
  const restricted = !!p.user_id && !has("read:all");
  return { readAll: has("read:all"), payload: has("read:payload"), operate: has("operate"), operateAll: has("operate") && !restricted, admin: has("admin") };
}

const nothing: May = { readAll: false, payload: false, operate: false, operateAll: false, admin: false };

export function useMe(): { me?: Principal; may: May } {
  const { data } = useQuery(whoami);
  return { me: data, may: data ? mayOf(data) : nothing };
}
