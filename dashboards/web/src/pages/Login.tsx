import { useState } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useRouter, useSearch } from "@tanstack/react-router";
import { signIn } from "../api/client";
import { Failed } from "../ui/parts";

export function Login() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const client = useQueryClient();
  const navigate = useNavigate();
  const router = useRouter();
  const { next, ended } = useSearch({ strict: false }) as Record<string, string>;
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      client.setQueryData(["whoami"], await signIn(token.trim()));
      // Only an own path is gone to: another site must not be able to name one.
      if (next && /^\/[^/\\]/.test(next)) router.history.push(next);
      else await navigate({ to: "/tasks" });
    } catch (e) {
      setProblem(e as Error);
    }
    setBusy(false);
  };
  return (
    <main className="min-h-screen grid place-items-center px-4">
      <form className="w-full max-w-sm" onSubmit={(e) => { e.preventDefault(); void submit(); }}>
        <h1 className="text-xl font-semibold">Tasktrail</h1>
        <p className="text-soft mt-1">The timelines of your background tasks.</p>
        {ended && !problem && <p role="status" className="panel px-3 py-2 mt-4"><span className="text-wait">! Your session has ended.</span> Sign in again, and you are back where you were.</p>}
        <label className="block mt-6"><span className="label">Token: an API key, a JWT or the admin token</span>
          <input className="field mono w-full mt-1 py-1.5" type="password" autoComplete="current-password" value={token} onChange={(e) => setToken(e.target.value)} autoFocus required />
        </label>
        {problem && <div className="mt-3"><Failed problem={problem} /></div>}
        <button className="btn btn-main mt-3 w-full py-1.5" disabled={busy || !token.trim()}>{busy ? "Signing in…" : "Sign in"}</button>
        <p className="label mt-3">The token goes into a cookie that scripts cannot read. It is not kept on this page.</p>
      </form>
    </main>
  );
}
