// Asking again while somebody looks. Nothing moves under an open question, and a
// hidden tab rests.
import { useEffect, useRef } from "react";

export const asking = () => document.querySelector("dialog[open]") !== null;

export function useEvery(ms: number, refetch: (o: { cancelRefetch: boolean }) => unknown) {
  // The interval does not begin anew with each rendering.
  const latest = useRef(refetch);
  latest.current = refetch;
  useEffect(() => {
    const t = setInterval(() => !document.hidden && !asking() && void latest.current({ cancelRefetch: false }), ms);
    return () => clearInterval(t);
  }, [ms]);
}
