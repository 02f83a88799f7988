// Short names for the API's shapes, which are generated from its document.
import type { components } from "./schema";

type S = components["schemas"];
export type Task = S["Task"];
export type TimelineEvent = S["Event"];
export type Gap = S["Gap"];
export type Entry = TimelineEvent | Gap;
export type Attempt = S["Attempt"];
export type DeadLetter = S["DeadLetter"];
export type Health = S["Health"];
export type ErrorGroup = S["ErrorGroup"];
export type Principal = S["Principal"];
export type Retry = S["Retry"];
export type TaskError = S["Error"];
export type State = S["State"];
export type Accepted = S["Accepted"];
export type Page<T> = { data: T[]; next_cursor: string | null; prev_cursor: string | null };
