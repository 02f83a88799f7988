// The frame around every page: where one is, how fresh it is, who one is.
import { useEffect, useMemo, useRef, useState } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate, useParams } from "@tanstack/react-router";
import { namespace, rememberNamespace, signOut } from "../api/client";
import type { Principal } from "../api/types";
import { LiveProvider, useLive } from "../live/live";
import { printable, type Clock } from "./format";
import { mayOf, whoami, type May } from "./me";
import { Failed, Loading } from "./parts";
import { usePrefs, type Theme } from "./prefs";

const pages = [["/tasks", "Active", "t"], ["/search", "All tasks", "f"], ["/dead-letters", "Dead letters", "d"], ["/errors", "Errors", "e"], ["/alerts", "Alerts", "a"], ["/providers", "Providers", "p"], ["/health", "Health", "h"], ["/settings", "Settings", "s"]] as const;
type Entry = (typeof pages)[number];
// What belongs to no user is not offered to a token of one.
const offered = (may: May): Entry[] => pages.filter(([to]) => to !== "/providers" || may.readAll);
const standing = { live: ["●", "live", "text-good"], connecting: ["◌", "connecting", "text-wait"], stale: ["!", "stale", "text-bad"], paused: ["‖", "paused", "text-idle"] } as const;

// The mark in the colour of the light, which an image could not take.
const Brand = () => <svg width={16} height={16} viewBox="0 0 16 16" aria-hidden="true"><path d="M2 4h7M4 8h9M7 12h7" stroke="var(--accent)" strokeWidth={2.4} strokeLinecap="round" /></svg>;

function useKeys(offer: Entry[], help: () => void) {
  const navigate = useNavigate();
  useEffect(() => {
    let g = 0;
    const press = (e: KeyboardEvent) => {
      const el = e.target as HTMLElement;
      if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]") || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)) return;
      const go = Date.now() - g < 1200 ? offer.find(([, , k]) => k === e.key) : undefined;
      g = e.key === "g" ? Date.now() : 0;
      if (go) void navigate({ to: go[0] });
      else if (e.key === "?") help();
      else if (e.key === "/") document.querySelector<HTMLInputElement>("[data-search]")?.focus();
      else if (e.key === "j" || e.key === "k") {
        const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")].sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
        const at = rows.indexOf(document.activeElement as HTMLElement);
        rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + (e.key === "j" ? 1 : -1)))]?.focus();
      } else return;
      e.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [navigate, help, offer]);
}

function Help({ offer, onClose }: { offer: Entry[]; onClose(): void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  const keys = [["j / k", "next, previous row"], ["Enter", "open the row"], ["/", "go to the filter"], ["x", "select the dead letter, or not"], ["X", "select all up to it"], ["1 … 5", "the tabs of a task"], ["← →", "move an end of the zoom, with Shift further"], ...offer.map(([, name, k]) => [`g ${k}`, name]), ["?", "this map"], ["Esc", "close"]];
  return <dialog ref={ref} className="ask" aria-labelledby="help-title" onClose={onClose}><h2 id="help-title" className="font-semibold mb-2">Keys</h2><dl className="grid grid-cols-[6rem_1fr] gap-y-1">{keys.map(([k, what]) => <div key={k} className="contents"><dt className="mono">{k}</dt><dd>{what}</dd></div>)}</dl><p className="mt-3 text-right"><button className="btn" onClick={() => ref.current?.close()}>Close</button></p></dialog>;
}

function Header({ who, offer, onHelp }: { who: Principal; offer: Entry[]; onHelp(): void }) {
  const { theme, clock, setTheme, setClock } = usePrefs();
  const { status } = useLive();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [sign, text, colour] = standing[status];
  const anywhere = who.namespace === "*";
  const choose = (ns: string) => {
    rememberNamespace(ns);
    const u = new URL(location.href);
    if (ns) u.searchParams.set("ns", ns);
    else u.searchParams.delete("ns");
    // Everything on the page belongs to the old namespace.
    location.assign(u.pathname.startsWith("/tasks/") ? `/tasks${u.search}` : u.href);
  };
  const leave = async () => {
    await signOut().catch(() => undefined);
    client.clear();
    void navigate({ to: "/login" });
  };
  return (
    <header className="border-b border-line bg-panel">
      <div className="mx-auto max-w-6xl px-3 flex flex-wrap items-center gap-x-5 gap-y-1 pt-2 pb-1">
        <Link to="/tasks" className="font-semibold inline-flex items-center gap-1.5"><Brand />Tasktrail</Link>
        <span className={`${colour} whitespace-nowrap`} data-live={status}><span aria-hidden="true">{sign} </span>{text}</span>
        <div className="ml-auto flex flex-wrap items-center gap-1.5">
          {anywhere ? <form onSubmit={(e) => { e.preventDefault(); choose(String(new FormData(e.currentTarget).get("ns") ?? "").trim()); }}><input name="ns" className="field w-20 sm:w-28" aria-label="Namespace" placeholder="default" defaultValue={namespace()} maxLength={255} /></form> : <span className="label">{who.namespace}</span>}
          <select className="field" aria-label="Times" value={clock} onChange={(e) => setClock(e.target.value as Clock)}><option value="relative">ago</option><option value="local">local</option><option value="utc">UTC</option></select>
          <select className="field" aria-label="Light" value={theme} onChange={(e) => setTheme(e.target.value as Theme)}><option>system</option><option>light</option><option>dark</option></select>
          <button className="btn" onClick={onHelp} aria-label="Keys">?</button>
          <button className="btn" onClick={() => void leave()} title={who.id}>Sign out</button>
        </div>
      </div>
      <nav aria-label="Pages" className="mx-auto max-w-6xl px-3 flex flex-wrap gap-x-4">{offer.map(([to, name]) => <Link key={to} to={to} className="nav">{name}</Link>)}</nav>
      {(status === "stale" || status === "paused") && <p role="status" className="bg-sunk border-t border-line px-3 py-1 text-center text-wait">! {status === "stale" ? "The live connection is gone. What is shown may be old; it comes back by itself." : "Live updates rest while this tab is hidden."}</p>}
    </header>
  );
}

// useTitle names the page in the tab and in the history.
function useTitle(id: string | undefined) {
  const { pathname } = useLocation();
  useEffect(() => {
    const name = id ? printable(id) : pages.find(([to]) => to === pathname)?.[1];
    document.title = name ? `${name} · Tasktrail` : "Tasktrail";
  }, [id, pathname]);
}

export function Shell() {
  const [help, setHelp] = useState(false);
  const id = (useParams({ strict: false }) as { id?: string }).id;
  useTitle(id);
  const who = useQuery(whoami);
  const offer = useMemo(() => offered(who.data ? mayOf(who.data) : mayOf({ scopes: [] })), [who.data]);
  const show = useRef(() => setHelp(true)).current;
  useKeys(offer, show);
  if (who.isPending) return <Loading />;
  if (who.isError) return <main className="mx-auto max-w-xl p-6"><Failed problem={who.error} again={() => void who.refetch()} /></main>;
  return (
    <LiveProvider task={id}>
      <a href="#page" className="sr-only focus:not-sr-only">Skip to the page</a>
      <Header who={who.data} offer={offer} onHelp={show} />
      <main id="page" className="mx-auto max-w-6xl px-3 py-4"><Outlet /></main>
      {help && <Help offer={offer} onClose={() => setHelp(false)} />}
    </LiveProvider>
  );
}
