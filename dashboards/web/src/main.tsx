import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRootRoute, createRoute, createRouter, Link, Outlet, redirect, retainSearchParams, RouterProvider } from "@tanstack/react-router";
import { Problem } from "./api/client";
import { Active } from "./pages/Active";
import { Errors } from "./pages/Errors";
import { Health } from "./pages/Health";
import { Letters } from "./pages/Letters";
import { Login } from "./pages/Login";
import { Task } from "./pages/Task";
import { Empty } from "./ui/parts";
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
const page = (path: string, component: () => React.ReactNode) => createRoute({ getParentRoute: () => shell, path, component });
const home = createRoute({ getParentRoute: () => root, path: "/", beforeLoad: () => { throw redirect({ to: "/tasks" }); } });

const router = createRouter({
  routeTree: root.addChildren([home, login, shell.addChildren([page("/tasks", Active), page("/tasks/$id", Task), page("/dead-letters", Letters), page("/health", Health), page("/errors", Errors)])]),
  // Values in the address are text, as people type them.
  parseSearch: (s) => Object.fromEntries(new URLSearchParams(s)),
  stringifySearch: (s) => {
    const q = new URLSearchParams(Object.entries(s as Search).filter((e): e is [string, string] => !!e[1])).toString();
    return q ? `?${q}` : "";
  },
});
const client = new QueryClient({
  defaultOptions: { queries: { retry: (n, e) => n < 2 && !(e instanceof Problem && e.status >= 400 && e.status < 500 && e.status !== 429), refetchOnWindowFocus: false } },
});
addEventListener("tasktrail:signed-out", () => {
  if (location.pathname === "/login") return;
  const next = location.pathname + location.search;
  client.clear();
  router.history.push(`/login?next=${encodeURIComponent(next)}`);
});

createRoot(document.getElementById("root")!).render(
  <StrictMode><PrefsProvider><QueryClientProvider client={client}><RouterProvider router={router} /></QueryClientProvider></PrefsProvider></StrictMode>,
);
