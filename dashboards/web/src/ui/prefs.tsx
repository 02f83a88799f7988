// What the reader prefers, kept in this browser: the light and how times are said.
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { moment, type Clock } from "./format";

export type Theme = "system" | "light" | "dark";
type Prefs = { theme: Theme; clock: Clock; setTheme(t: Theme): void; setClock(c: Clock): void; now: number };
const Context = createContext<Prefs | null>(null);

export function PrefsProvider({ children }: { children: ReactNode }) {
  const [theme, setTheme] = useState<Theme>(() => (localStorage.getItem("tasktrail.theme") as Theme | null) ?? "system");
  const [clock, setClock] = useState<Clock>(() => (localStorage.getItem("tasktrail.clock") as Clock | null) ?? "relative");
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const put = () => (document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme);
    put();
    dark.addEventListener("change", put);
    localStorage.setItem("tasktrail.theme", theme);
    return () => dark.removeEventListener("change", put);
  }, [theme]);
  useEffect(() => localStorage.setItem("tasktrail.clock", clock), [clock]);
  useEffect(() => {
    const t = setInterval(() => !document.hidden && !document.querySelector("dialog[open]") && setNow(Date.now()), 1000);
    return () => clearInterval(t);
  }, []);
  const value = useMemo(() => ({ theme, clock, setTheme, setClock, now }), [theme, clock, now]);
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

export function usePrefs(): Prefs {
  const p = useContext(Context);
  if (!p) throw new Error("usePrefs stands outside PrefsProvider");
  return p;
}

// A time that is past stays so, also where the page stands still and its now is old.
export function Time({ at, past, exact }: { at: string | undefined; past?: boolean; exact?: boolean }) {
  const { clock, now } = usePrefs();
  if (!at) return <span className="text-soft">–</span>;
  return <time dateTime={at} title={at} className="whitespace-nowrap">{moment(at, clock, past ? Math.max(now, Date.parse(at)) : now, exact)}</time>;
}
