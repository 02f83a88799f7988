import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Link, Outlet, redirect, retainSearchParams, RouterProvider } from "@tanstack/react-router";
import { Problem } from "./api/client";
import { Active } from "./pages/Active";
import { Login, SignInAgain } from "./pages/Login";
import { asking } from "./ui/every";
import { Empty, Failed } from "./ui/parts";
import { PrefsProvider } from "./ui/prefs";
import { Shell } from "./ui/Shell";
import "./index.css";

type Search = Record<string, string | undefined>;

const root = createRootRoute({
  component: Outlet,
  validateSearch: (s: Record<string, unknown>): Search => s as Search,
  search: { middlewares: [retainSearchParams<Search>(["ns"])] },
  notFoundComponent: () => <main><Empty title="There is no such page"><Link className="link" to="/tasks">Active tasks</Link></Empty></main>,
});
const login = createRoute({ getParentRoute: () => root, path: "/login", component: Login });
const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });
type Component = Parameters<typeof createRoute>[0]["component"];
const page = (path: string, component: Component) => createRoute({ getParentRoute: () => shell, path, component });
// What is not the first page comes when it is gone to.
const pages = [
  page("/tasks", Active),
  page("/tasks/$id", lazyRouteComponent(() => import("./pages/Task"), "Task")),
  page("/search", lazyRouteComponent(() => import("./pages/Search"), "Search")),
  page("/dead-letters", lazyRouteComponent(() => import("./pages/Letters"), "Letters")),
  page("/errors", lazyRouteComponent(() => import("./pages/Errors"), "Errors")),
  page("/alerts", lazyRouteComponent(() => import("./pages/Alerts"), "Alerts")),
  page("/providers", lazyRouteComponent(() => import("./pages/Providers"), "Providers")),
  page("/health", lazyRouteComponent(() => import("./pages/Health"), "Health")),
  page("/settings", lazyRouteComponent(() => import("./pages/Settings"), "Settings")),
];
const home = createRoute({ getParentRoute: () => root, path: "/", beforeLoad: () => { throw redirect({ to: "/tasks" }); } });

// A page that cannot be drawn says so: its script may be gone with the version it
// belonged to.
function Broken({ error }: { error: unknown }) {
  return <Failed problem={error instanceof Error ? error : new Error(String(error))} again={() => location.reload()} />;
}

const router = createRouter({
  routeTree: root.addChildren([home, login, shell.addChildren(pages)]),
  defaultPreload: "intent",
  defaultErrorComponent: Broken,
  // Values in the address are text, as people type them.
  parseSearch: (s) => Object.fromEntries(new URLSearchParams(s)),
  stringifySearch: (s) => {
    const q = new URLSearchParams(Object.entries(s as Search).filter((e): e is [string, string] => !!e[1])).toString();
    return q ? `?${q}` : "";
  },
});
// What may pass by itself is tried twice more, and as late as the server asks for;
// where that is long, it is said at once instead, with a button.
const patientS = 5;
const passes = (e: Error) => !(e instanceof Problem) || ((e.status === 429 || e.status === 0 || e.status >= 500) && e.code !== "timeout" && e.retryAfter <= patientS);
const client = new QueryClient({
  defaultOptions: { queries: { retry: (n, e) => n < 2 && passes(e), retryDelay: (n, e) => Math.max(1000 * 2 ** n, e instanceof Problem ? e.retryAfter * 1000 : 0), refetchOnWindowFocus: false } },
});
function leave() {
  if (location.pathname === "/login") return;
  const next = location.pathname + location.search;
  // Who had been let in is told why the login is there again.
  const ended = client.getQueryData(["whoami"]) ? "&ended=1" : "";
  client.clear();
  router.history.push(`/login?next=${encodeURIComponent(next)}${ended}`);
}
// Where something is being written, that is not left behind, see SignInAgain.
addEventListener("tasktrail:signed-out", () => asking() || leave());

createRoot(document.getElementById("root")!).render(
  <StrictMode><PrefsProvider><QueryClientProvider client={client}><RouterProvider router={router} /><SignInAgain leave={leave} /></QueryClientProvider></PrefsProvider></StrictMode>,
);
