// The state of a page stands in its address: what is set here can be sent to
// somebody else, and the back button undoes it.
import { useNavigate, useSearch } from "@tanstack/react-router";

export type Address = Record<string, string | undefined>;

// useAddress reads the address and changes parts of it. A new filter begins at the
// first page: a cursor belongs to the filter it came from.
export function useAddress(): [Address, (change: Address, how?: { push?: boolean }) => void] {
  const search = useSearch({ strict: false }) as Address;
  const navigate = useNavigate();
  const set = (change: Address, how: { push?: boolean } = {}) => void navigate({ to: ".", search: { ...search, cursor: undefined, ...change } as never, replace: !how.push });
  return [search, set];
}
