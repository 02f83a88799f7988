// Asking again while somebody looks. Nothing moves under an open question, and a
// hidden tab rests.
import { useEffect } from "react";

export const asking = () => document.querySelector("dialog[open]") !== null;

export function useEvery(ms: number, refetch: (o: { cancelRefetch: boolean }) => unknown) {
  useEffect(() => {
    const t = setInterval(() => !document.hidden && !asking() && void refetch({ cancelRefetch: false }), ms);
    return () => clearInterval(t);
  }, [ms, refetch]);
}
