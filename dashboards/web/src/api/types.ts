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
export type History = S["HealthHistory"];
export type ErrorGroup = S["ErrorGroup"];
export type Principal = S["Principal"];
export type Retry = S["Retry"];
export type TaskError = S["Error"];
export type State = S["State"];
export type Accepted = S["Accepted"];
export type AlertMatch = S["AlertMatch"];
export type Silence = S["Silence"];
export type Channel = S["Channel"];
export type AlertRule = S["AlertRule"];
export type Severities = S["Severities"];
export type AuditRecord = S["AuditRecord"];
export type RuleTrial = S["RuleTrial"];
export type Delivery = S["Delivery"];
export type Provider = S["Provider"];
export type BreakerChange = S["BreakerChange"];
export type Key = S["Key"];
export type RequeueURL = S["RequeueURL"];
export type Readiness = S["Readiness"];
export type Scope = Principal["scopes"][number];
// A rule's alert carries more than the document names: what it measured, and where
// to read on.
export type Alert = S["AlertRow"] & { condition?: string; value?: number; runbook?: string; labels?: Record<string, string> };
export type Bulk = S["Bulk"];
export type BulkItem = S["BulkItem"];
export type BulkSummary = S["BulkSummary"];
export type BulkCount = S["BulkCount"];
export type Page<T> = { data: T[]; next_cursor: string | null; prev_cursor: string | null };
