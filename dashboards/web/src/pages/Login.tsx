import { useEffect, useRef, useState, type ReactNode } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useRouter, useSearch } from "@tanstack/react-router";
import { signIn } from "../api/client";
import type { Principal } from "../api/types";
import { asking } from "../ui/every";
import { whoami } from "../ui/me";
import { Failed } from "../ui/parts";

// TokenForm takes a token and says whose it is.
function TokenForm({ title, children, more, onIn }: { title: ReactNode; children?: ReactNode; more?: ReactNode; onIn(p: Principal): void | Promise<void> }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await onIn(await signIn(token.trim()));
    } catch (e) {
      setProblem(e as Error);
    }
    setBusy(false);
  };
  return (
    <form className="w-full max-w-sm" onSubmit={(e) => { e.preventDefault(); void submit(); }}>
      {title}
      {!problem && children}
      <label className="block mt-6"><span className="label">Token: an API key, a JWT or the admin token</span>
        <input className="field mono w-full mt-1 py-1.5" type="password" autoComplete="current-password" value={token} onChange={(e) => setToken(e.target.value)} autoFocus required />
      </label>
      {problem && <div className="mt-3"><Failed problem={problem} /></div>}
      <button className="btn btn-main mt-3 w-full py-1.5" disabled={busy || !token.trim()}>{busy ? "Signing in…" : "Sign in"}</button>
      {more}
      <p className="label mt-3">The token goes into a cookie that scripts cannot read. It is not kept on this page.</p>
    </form>
  );
}

export function Login() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const router = useRouter();
  const { next, ended } = useSearch({ strict: false }) as Record<string, string>;
  const enter = async (p: Principal) => {
    client.setQueryData(whoami.queryKey, p);
    // Only an own path is gone to: another site must not be able to name one.
    if (next && /^\/[^/\\]/.test(next)) router.history.push(next);
    else await navigate({ to: "/tasks" });
  };
  return (
    <main className="min-h-screen grid place-items-center px-4">
      <TokenForm onIn={enter} title={<><h1 className="text-xl font-semibold">Tasktrail</h1><p className="text-soft mt-1">The timelines of your background tasks.</p></>}>
        {ended && <p role="status" className="panel px-3 py-2 mt-4"><span className="text-wait">! Your session has ended.</span> Sign in again, and you are back where you were.</p>}
      </TokenForm>
    </main>
  );
}

const who = (p: Principal | undefined) => JSON.stringify([p?.id, p?.namespace, p?.user_id]);

// SignInAgain stands over a page whose session ended while something was being written
// in one of its dialogs: what was written is there when the session is. Another's
// session is another page.
export function SignInAgain({ leave }: { leave(): void }) {
  const [open, setOpen] = useState(false);
  const ref = useRef<HTMLDialogElement>(null);
  const client = useQueryClient();
  useEffect(() => {
    const ended = () => asking() && setOpen(true);
    addEventListener("tasktrail:signed-out", ended);
    return () => removeEventListener("tasktrail:signed-out", ended);
  }, []);
  useEffect(() => {
    if (open) ref.current?.showModal();
  }, [open]);
  if (!open) return null;
  const enter = (p: Principal) => {
    if (who(p) !== who(client.getQueryData<Principal>(whoami.queryKey))) return location.reload();
    client.setQueryData(whoami.queryKey, p);
    setOpen(false);
    dispatchEvent(new Event("tasktrail:signed-in"));
  };
  return (
    <dialog ref={ref} className="ask" aria-labelledby="again-title" onClose={() => { setOpen(false); leave(); }}>
      <TokenForm onIn={enter} title={<h2 id="again-title" className="text-base font-semibold">Your session has ended</h2>}
        more={<button type="button" className="btn mt-2 w-full py-1.5" onClick={() => ref.current?.close()}>Leave, and lose what is written</button>}>
        <p className="text-soft mt-1">Sign in again. What you were writing is kept below this, and nothing of it was sent.</p>
      </TokenForm>
    </dialog>
  );
}
