-- +goose NO TRANSACTION
-- +goose Up

-- What the writer inserts into. It stores nothing: the views below take from one
-- block what their tables need, so that a batch is sent once and its token
-- deduplicates it in every table.
CREATE TABLE IF NOT EXISTS events_in
(
    namespace String,
    task_id String,
    run UInt32,
    attempt UInt32,
    type String,
    rank UInt8,
    -- decide is greatest for the event that gives a task its state; 0 for an event
    -- that gives none. From the top: run 32 bits, terminal 1, attempt 31, phase
    -- within the attempt 2, seq 62, rank 8, attempts 24, 32 unused, occurred_at 64.
    decide UInt256,
    -- ord rises in the order of a timeline: run 32, occurred_at 64, rank 8, seq 24.
    ord UInt128,
    occurred_at DateTime64(9, 'UTC'),
    ingested_at DateTime64(9, 'UTC'),
    event_id UUID,
    source_id String,
    source_seq UInt64,
    task_type String,
    queue String,
    runner String,
    agent String,
    provider String,
    user_id String,
    trace_id FixedString(16),
    duration UInt64,
    reason String,
    error_kind String,
    error_class String,
    error_message String,
    error_code String,
    error_status UInt16,
    fingerprint String,
    breaker_provider String,
    breaker_state String,
    breaker_why String,
    breaker_calls UInt32,
    breaker_failures UInt32,
    breaker_open_until DateTime64(9, 'UTC'),
    dead_letter_id UUID,
    alert_severity UInt8,
    gap_from UInt64,
    gap_to UInt64,
    gap_reason String,
    setting_kind String,
    setting_id String,
    setting_version UInt64,
    record String
)
ENGINE = Null;

-- The timeline. A read touches one task: the key begins with it, the granules are
-- small, and everything that is not filtered on lies packed in record (the
-- event's own OTLP LogRecord). Partitions follow the time of ingestion, which late
-- events do not splinter. An event that two batches carry, because the answer to
-- the first was lost, has one key: merges drop its copy, FINAL and readers do so
-- before.
CREATE TABLE IF NOT EXISTS events
(
    namespace LowCardinality(String),
    task_id String,
    run UInt32,
    occurred_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_id UUID,
    ingested_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    record String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, task_id, run, occurred_at, event_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS index_granularity = 256, min_bytes_for_wide_part = 1073741824, ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS events_mv TO events AS
SELECT namespace, task_id, run, occurred_at, event_id, ingested_at, record
FROM events_in WHERE type NOT IN ('tombstone', 'setting_changed');

-- One row a task, of states that neither a repeated nor a late event can spoil.
CREATE TABLE IF NOT EXISTS task_state
(
    namespace LowCardinality(String),
    task_id String,
    decide SimpleAggregateFunction(max, UInt256),
    run_attempt SimpleAggregateFunction(max, UInt64),
    created_at SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    updated_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    ingested_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    completed_run SimpleAggregateFunction(max, UInt32),
    -- when its first run completed
    completed_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    dead_letter_run SimpleAggregateFunction(max, UInt32),
    task_type AggregateFunction(argMax, String, UInt128),
    queue AggregateFunction(argMax, String, UInt128),
    runner AggregateFunction(argMax, String, UInt128),
    agent AggregateFunction(argMax, String, UInt128),
    provider AggregateFunction(argMax, String, UInt128),
    user_id AggregateFunction(argMax, String, UInt128),
    error_message AggregateFunction(argMax, String, UInt128),
    duration AggregateFunction(argMax, UInt64, UInt256),
    trace_ids SimpleAggregateFunction(groupUniqArrayArray, Array(FixedString(16)))
)
ENGINE = AggregatingMergeTree
ORDER BY (namespace, task_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS task_state_mv TO task_state AS
SELECT
    namespace, task_id,
    max(e.decide) AS decide,
    max(bitOr(bitShiftLeft(toUInt64(e.run), 32), toUInt64(e.attempt))) AS run_attempt,
    min(e.occurred_at) AS created_at,
    max(e.occurred_at) AS updated_at,
    max(e.ingested_at) AS ingested_at,
    maxIf(e.run, e.type = 'task_completed') AS completed_run,
    maxIf(e.occurred_at, e.type = 'task_completed' AND e.run = 1) AS completed_at,
    maxIf(e.run, e.type = 'moved_to_dlq') AS dead_letter_run,
    argMaxIfState(e.task_type, e.ord, e.task_type != '') AS task_type,
    argMaxIfState(e.queue, e.ord, e.queue != '') AS queue,
    argMaxIfState(e.runner, e.ord, e.runner != '') AS runner,
    argMaxIfState(e.agent, e.ord, e.agent != '') AS agent,
    argMaxIfState(e.provider, e.ord, e.provider != '') AS provider,
    argMaxIfState(e.user_id, e.ord, e.user_id != '') AS user_id,
    argMaxIfState(e.error_message, e.ord, e.error_message != '') AS error_message,
    argMaxState(e.duration, e.decide) AS duration,
    groupUniqArrayIf(e.trace_id, e.trace_id != toFixedString('', 16)) AS trace_ids
FROM events_in AS e WHERE e.type NOT IN ('tombstone', 'setting_changed')
GROUP BY namespace, task_id;

-- What attempts and runs came to, in slots of ten seconds. Copies of an event stay
-- and are dropped by its id when it is read, so that what stands in a slot can
-- only grow; see outcome_marks.
CREATE TABLE IF NOT EXISTS outcomes
(
    namespace LowCardinality(String),
    slot DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    event_id UUID,
    type LowCardinality(String),
    task_id String,
    run UInt32,
    user_id String,
    duration UInt64 CODEC(T64, ZSTD(1)),
    occurred_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ingested_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, slot)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS outcomes_mv TO outcomes AS
SELECT namespace, toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL 10 SECOND) AS slot, event_id, type, task_id, run, user_id, duration, occurred_at, ingested_at
FROM events_in AS e
WHERE type IN ('attempt_success', 'attempt_failed', 'task_completed', 'task_failed', 'task_lost');

-- Which rows stand in a slot of outcomes: their number and the sum of the hashes
-- of their ids. A rollup of the slot is right while it was made of just these.
CREATE TABLE IF NOT EXISTS outcome_marks
(
    namespace LowCardinality(String),
    slot DateTime('UTC'),
    n UInt64,
    hashes UInt64
)
ENGINE = SummingMergeTree
ORDER BY (namespace, slot)
TTL slot + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS outcome_marks_mv TO outcome_marks AS
SELECT namespace, toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL 10 SECOND) AS slot, count() AS n, sum(cityHash64(e.event_id)) AS hashes
FROM events_in AS e
WHERE type IN ('attempt_success', 'attempt_failed', 'task_completed', 'task_failed', 'task_lost')
GROUP BY namespace, slot;

-- The rollups, made of outcomes by the store and made again when a slot changed.
-- The marks are part of the key: several versions of a slot may stand here, and
-- that of the present marks is right.
CREATE TABLE IF NOT EXISTS outcome_rollups
(
    namespace LowCardinality(String),
    slot DateTime('UTC'),
    n UInt64,
    hashes UInt64,
    -- runs that completed, and tasks whose first run did
    completed_runs UInt64,
    completed_tasks UInt64,
    attempts UInt64,
    duration_sum UInt64,
    -- attempts by floor(64 * log2(duration in nanoseconds + 1))
    durations Map(UInt16, UInt64)
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, slot, n, hashes)
TTL slot + INTERVAL 90 DAY;

-- Events that a task has only when more came of it than a first run that
-- completes. Without any, a task has completed if its first run has.
CREATE TABLE IF NOT EXISTS troubles
(
    namespace LowCardinality(String),
    slot DateTime('UTC'),
    task_id String,
    run UInt32,
    type LowCardinality(String),
    occurred_at DateTime64(9, 'UTC'),
    ingested_at DateTime64(9, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, slot)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS troubles_mv TO troubles AS
SELECT namespace, toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL 10 SECOND) AS slot, task_id, run, type, occurred_at, ingested_at
FROM events_in AS e
WHERE type NOT IN ('tombstone', 'setting_changed') AND (run != 1 OR type IN ('task_failed', 'moved_to_dlq', 'task_cancelled', 'task_lost'));

-- Tasks that may not be at their end: what ended is dropped a day later. A row
-- that is left behind, because its end was dropped before the two met in a
-- merge, costs readers a look at task_state and no more.
CREATE TABLE IF NOT EXISTS open_tasks
(
    namespace LowCardinality(String),
    task_id String,
    -- the top 64 bits of decide; bit 31 says that the task ended
    top SimpleAggregateFunction(max, UInt64),
    ingested_at SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (namespace, task_id)
TTL ingested_at + INTERVAL 90 DAY, ingested_at + INTERVAL 1 DAY DELETE WHERE bitTest(top, 31)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS open_tasks_mv TO open_tasks AS
SELECT namespace, task_id, toUInt64(bitShiftRight(s.decide, 192)) AS top, toDateTime(s.ingested_at, 'UTC') AS ingested_at
FROM task_state AS s WHERE s.decide != 0;

-- Tasks in the order of lists. The row whose time is that of the task's
-- task_state is its place; the others come of blocks with later events.
CREATE TABLE IF NOT EXISTS task_times
(
    namespace LowCardinality(String),
    created_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    task_id String,
    ingested_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, created_at, task_id)
TTL ingested_at + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS task_times_mv TO task_times AS
SELECT namespace, created_at, task_id, toDateTime(s.ingested_at, 'UTC') AS ingested_at
FROM task_state AS s;

-- One row a dead letter, as the first moved_to_dlq of its run described it.
CREATE TABLE IF NOT EXISTS dead_letters
(
    namespace LowCardinality(String),
    task_id String,
    run UInt32,
    id SimpleAggregateFunction(any, UUID),
    created_at SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    ingested_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    -- task_type, queue, agent, provider, user_id, reason, fingerprint, error message
    facts AggregateFunction(argMin, Tuple(String, String, String, String, String, String, String, String), UInt128),
    severity AggregateFunction(argMin, UInt8, UInt128)
)
ENGINE = AggregatingMergeTree
ORDER BY (namespace, task_id, run)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS dead_letters_mv TO dead_letters AS
SELECT
    namespace, task_id, run,
    any(e.dead_letter_id) AS id,
    min(e.occurred_at) AS created_at,
    max(e.ingested_at) AS ingested_at,
    argMinState((e.task_type, e.queue, e.agent, e.provider, e.user_id, e.reason, e.fingerprint, e.error_message), e.ord) AS facts,
    argMinState(e.alert_severity, e.ord) AS severity
FROM events_in AS e WHERE e.type = 'moved_to_dlq'
GROUP BY namespace, task_id, run;

-- Where to find a dead letter by its id, and which were settled by name.
CREATE TABLE IF NOT EXISTS dead_letter_ids
(
    id UUID,
    namespace LowCardinality(String),
    task_id String,
    ingested_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (id, namespace, task_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS dead_letter_ids_mv TO dead_letter_ids AS
SELECT dead_letter_id AS id, namespace, task_id, ingested_at
FROM events_in WHERE type = 'moved_to_dlq';

CREATE TABLE IF NOT EXISTS dead_letters_settled
(
    namespace LowCardinality(String),
    id UUID,
    ingested_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS dead_letters_settled_mv TO dead_letters_settled AS
SELECT namespace, dead_letter_id AS id, ingested_at
FROM events_in WHERE type IN ('dlq_resolved', 'dlq_discarded');

-- Failures by fingerprint.
CREATE TABLE IF NOT EXISTS failures
(
    namespace LowCardinality(String),
    fingerprint String,
    occurred_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_id UUID,
    dead_letter UInt8,
    task_id String,
    user_id String,
    task_type LowCardinality(String),
    queue LowCardinality(String),
    error_kind LowCardinality(String),
    error_class LowCardinality(String),
    error_code LowCardinality(String),
    error_status UInt16,
    error_message String CODEC(ZSTD(1)),
    ingested_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, fingerprint, occurred_at, event_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS failures_mv TO failures AS
SELECT namespace, fingerprint, occurred_at, event_id, type = 'moved_to_dlq' AS dead_letter, task_id, user_id, task_type, queue,
    error_kind, error_class, error_code, error_status, error_message, ingested_at
FROM events_in
WHERE type IN ('attempt_failed', 'moved_to_dlq') AND fingerprint != '';

-- The last word of each breaker; a breaker belongs to one source.
CREATE TABLE IF NOT EXISTS breakers
(
    namespace LowCardinality(String),
    provider String,
    source_id String,
    ingested_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    -- state, why, calls, failures, open until, occurred at
    last AggregateFunction(argMax, Tuple(String, String, UInt32, UInt32, DateTime64(9, 'UTC'), DateTime64(9, 'UTC')), UInt128)
)
ENGINE = AggregatingMergeTree
ORDER BY (namespace, provider, source_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS breakers_mv TO breakers AS
SELECT
    namespace, breaker_provider AS provider, source_id,
    max(e.ingested_at) AS ingested_at,
    argMaxState(
        (e.breaker_state, e.breaker_why, e.breaker_calls, e.breaker_failures, e.breaker_open_until, e.occurred_at),
        bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Nano(e.occurred_at)), 64), bitShiftLeft(toUInt128(e.source_seq), 8)) + e.rank
    ) AS last
FROM events_in AS e
WHERE e.type IN ('circuit_breaker_opened', 'circuit_breaker_half_opened', 'circuit_breaker_closed')
GROUP BY namespace, provider, source_id;

-- Retries and cancellations that were accepted, to find those that nobody answered.
CREATE TABLE IF NOT EXISTS requests
(
    namespace LowCardinality(String),
    task_id String,
    run UInt32,
    type LowCardinality(String),
    occurred_at DateTime64(9, 'UTC'),
    event_id UUID,
    ingested_at DateTime64(9, 'UTC'),
    record String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, task_id, run, event_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS requests_mv TO requests AS
SELECT namespace, task_id, run, type, occurred_at, event_id, ingested_at, record
FROM events_in WHERE type IN ('dlq_retry_requested', 'cancel_requested');

-- Which of a source's sequence numbers are there, a bit for each.
CREATE TABLE IF NOT EXISTS ledger
(
    source_id String,
    chunk UInt64,
    ingested_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    seqs AggregateFunction(groupBitmap, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (source_id, chunk)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_mv TO ledger AS
SELECT source_id, intDiv(e.source_seq, 65536) AS chunk, max(e.ingested_at) AS ingested_at, groupBitmapState(e.source_seq) AS seqs
FROM events_in AS e WHERE e.source_id != '' AND e.source_seq > 0
GROUP BY source_id, chunk;

-- Events that will never arrive.
CREATE TABLE IF NOT EXISTS gaps
(
    namespace LowCardinality(String),
    source_id String,
    from_seq UInt64,
    to_seq UInt64,
    reason LowCardinality(String),
    event_id UUID,
    occurred_at DateTime64(9, 'UTC'),
    ingested_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, source_id, from_seq, to_seq, event_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS gaps_mv TO gaps AS
SELECT namespace, source_id, gap_from AS from_seq, gap_to AS to_seq, gap_reason AS reason, event_id, occurred_at, ingested_at
FROM events_in WHERE type = 'tombstone';

-- What operators set: the highest version of each is in force, and is kept for
-- ever. A deleted one stays too, so that an older version that arrives late does
-- not bring it back.
CREATE TABLE IF NOT EXISTS settings
(
    kind LowCardinality(String),
    namespace String,
    id String,
    version UInt64,
    event_id UUID,
    occurred_at DateTime64(9, 'UTC'),
    record String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (kind, namespace, id)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS settings_mv TO settings AS
SELECT setting_kind AS kind, namespace, setting_id AS id, setting_version AS version, event_id, occurred_at, record
FROM events_in WHERE type = 'setting_changed';

-- +goose Down
SELECT 1;
