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
    type String,
    -- The type as a number, which the views compare more quickly: attempt_success 50,
    -- attempt_failed 60, breakers 90 to 110, task_lost 130, task_failed 140,
    -- moved_to_dlq 150, task_completed 160, task_cancelled 170, dlq_resolved 180,
    -- dlq_discarded 190; from 250 on what belongs to no task.
    rank UInt8,
    occurred_at DateTime64(9, 'UTC'),
    ingested_at DateTime64(9, 'UTC'),
    event_id UUID,
    source_id String,
    source_seq UInt64,
    task_type String,
    queue String,
    agent String,
    provider String,
    user_id String,
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
    -- what the event says of its task's state, see tasks_in; 0 where it stands in no
    -- table that wants it
    decide UInt256,
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
FROM events_in WHERE rank < 250;

-- What a block of events says of each task in it, as the writer folded it: a
-- second block with a token of its own, sent after its events.
CREATE TABLE IF NOT EXISTS tasks_in
(
    namespace String,
    task_id String,
    -- decide is greatest for the event that gives a task its state; 0 for an event
    -- that gives none. From the top: run 32 bits, terminal 1, attempt 31, phase
    -- within the attempt 2, seq 62, rank 8, attempts 24, 32 unused, occurred_at 64.
    decide UInt256,
    run_attempt UInt64,
    created_at DateTime64(9, 'UTC'),
    updated_at DateTime64(9, 'UTC'),
    ingested_at DateTime64(9, 'UTC'),
    completed_run UInt32,
    completed_at DateTime64(9, 'UTC'),
    dead_letter_run UInt32,
    shortest UInt64,
    longest UInt64,
    -- Facts: 16 bytes that rise in the order of a timeline, then the text; empty
    -- where there is none.
    task_type String,
    queue String,
    runner String,
    agent String,
    provider String,
    user_id String,
    error_message String,
    user String,
    trace_ids Array(FixedString(16)),
    troubled UInt8,
    -- The dead letter of the highest run that has one, empty where there is none:
    -- the run (4 bytes), ~ the time (8), the letter's id (16). The greatest of a run
    -- is its first, which is the letter.
    letter String
)
ENGINE = Null;

-- One row a task, of sums that neither a repeated nor a late event can spoil.
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
    -- of the runs that ended
    shortest SimpleAggregateFunction(min, UInt64),
    longest SimpleAggregateFunction(max, UInt64),
    -- The text of the later event is the greater one.
    task_type SimpleAggregateFunction(max, String),
    queue SimpleAggregateFunction(max, String),
    runner SimpleAggregateFunction(max, String),
    agent SimpleAggregateFunction(max, String),
    provider SimpleAggregateFunction(max, String),
    user_id SimpleAggregateFunction(max, String),
    error_message SimpleAggregateFunction(max, String)
)
ENGINE = AggregatingMergeTree
ORDER BY (namespace, task_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS index_granularity = 128, min_bytes_for_wide_part = 1073741824, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS task_state_mv TO task_state AS
SELECT namespace, task_id, decide, run_attempt, created_at, updated_at, ingested_at, completed_run, completed_at, dead_letter_run,
    shortest, longest, task_type, queue, runner, agent, provider, user_id, error_message
FROM tasks_in;

-- The same in the order of lists, a row for each block that a task stands in: what
-- a block says is never earlier than the task, so that the rows from a time on
-- hold all there is of the tasks created since.
CREATE TABLE IF NOT EXISTS task_times
(
    namespace LowCardinality(String),
    created_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    task_id String CODEC(ZSTD(1)),
    decide UInt256 CODEC(ZSTD(1)),
    run_attempt UInt64 CODEC(ZSTD(1)),
    updated_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ingested_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    completed_run UInt32 CODEC(ZSTD(1)),
    completed_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    dead_letter_run UInt32 CODEC(ZSTD(1)),
    shortest UInt64 CODEC(ZSTD(1)),
    longest UInt64 CODEC(ZSTD(1)),
    task_type String CODEC(ZSTD(1)),
    queue String CODEC(ZSTD(1)),
    runner String CODEC(ZSTD(1)),
    agent String CODEC(ZSTD(1)),
    provider String CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    error_message String CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, created_at, task_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS task_times_mv TO task_times AS
SELECT namespace, created_at, task_id, decide, run_attempt, updated_at, ingested_at, completed_run, completed_at, dead_letter_run,
    shortest, longest, task_type, queue, runner, agent, provider, user_id, error_message
FROM tasks_in;

-- Whose tasks there are, and which traces they have: where to look for few among
-- many. created_at is no earlier than the task, as in task_times.
CREATE TABLE IF NOT EXISTS user_tasks
(
    namespace LowCardinality(String),
    user String,
    created_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    task_id String,
    ingested_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, user, created_at, task_id)
TTL ingested_at + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS user_tasks_mv TO user_tasks AS
SELECT namespace, user, created_at, task_id, toDateTime(t.ingested_at, 'UTC') AS ingested_at
FROM tasks_in AS t WHERE user != '';

CREATE TABLE IF NOT EXISTS traces
(
    namespace LowCardinality(String),
    trace_id FixedString(16),
    task_id String,
    ingested_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, trace_id, task_id)
TTL ingested_at + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS traces_mv TO traces AS
SELECT namespace, arrayJoin(trace_ids) AS trace_id, task_id, toDateTime(t.ingested_at, 'UTC') AS ingested_at
FROM tasks_in AS t WHERE notEmpty(trace_ids);

-- What is known of dead letters by task, enough to tell which are pending: of blocks
-- in which a task has a dead letter, or a run after its first. A first run that
-- completed all the same, in a block of its own, is added when it is found out.
CREATE TABLE IF NOT EXISTS letter_tasks
(
    namespace LowCardinality(String),
    task_id String,
    dead_letter_run SimpleAggregateFunction(max, UInt32),
    completed_run SimpleAggregateFunction(max, UInt32),
    decide SimpleAggregateFunction(max, UInt256) CODEC(ZSTD(1)),
    letter SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    ingested_at SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (namespace, task_id)
TTL ingested_at + INTERVAL 90 DAY, ingested_at + INTERVAL 24 HOUR DELETE WHERE dead_letter_run > 0 AND completed_run >= dead_letter_run
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS letter_tasks_mv TO letter_tasks AS
SELECT namespace, task_id, dead_letter_run, completed_run, decide, letter, toDateTime(t.ingested_at, 'UTC') AS ingested_at
FROM tasks_in AS t WHERE troubled;

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
WHERE rank IN (50, 60, 160, 140, 130);

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
WHERE rank IN (50, 60, 160, 140, 130)
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
    reason LowCardinality(String),
    severity UInt8,
    -- 0 where the event decides no state
    decide UInt256 CODEC(ZSTD(1)),
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
SELECT namespace, toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL 10 SECOND) AS slot, task_id, run, type, reason, alert_severity AS severity, decide, occurred_at, ingested_at
FROM events_in AS e
WHERE rank < 250 AND (run != 1 OR rank IN (140, 150, 170, 130));

-- Tasks that may not be at their end: what ended is dropped an hour later. A row
-- that is left behind, because its end was dropped before the two met in a merge,
-- is old, and readers look for what is old in task_state.
CREATE TABLE IF NOT EXISTS open_tasks
(
    namespace LowCardinality(String),
    task_id String,
    -- the top 64 bits of decide; bit 31 says that the task ended
    top SimpleAggregateFunction(max, UInt64),
    decide SimpleAggregateFunction(max, UInt256) CODEC(ZSTD(1)),
    created_at SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    queue SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    ingested_at SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (namespace, task_id)
TTL ingested_at + INTERVAL 90 DAY, ingested_at + INTERVAL 1 HOUR DELETE WHERE bitTest(top, 31)
SETTINGS merge_with_ttl_timeout = 1800, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS open_tasks_mv TO open_tasks AS
SELECT namespace, task_id, toUInt64(bitShiftRight(s.decide, 192)) AS top, decide, created_at, queue, toDateTime(s.ingested_at, 'UTC') AS ingested_at
FROM tasks_in AS s WHERE s.decide != 0;

-- Dead letters in the order of lists, as the moved_to_dlq events describe them.
-- The first of a run is the letter; what it leaves out the folds know.
CREATE TABLE IF NOT EXISTS dead_letters
(
    namespace LowCardinality(String),
    created_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id UUID,
    task_id String,
    run UInt32,
    task_type LowCardinality(String),
    queue LowCardinality(String),
    agent LowCardinality(String),
    provider LowCardinality(String),
    user_id String,
    reason LowCardinality(String),
    fingerprint String,
    error_message String CODEC(ZSTD(1)),
    severity UInt8,
    ingested_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, created_at, id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS dead_letters_mv TO dead_letters AS
SELECT namespace, occurred_at AS created_at, dead_letter_id AS id, task_id, run, task_type, queue, agent, provider, user_id, reason,
    fingerprint, error_message, alert_severity AS severity, ingested_at
FROM events_in WHERE rank = 150;

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
FROM events_in WHERE rank = 150;

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
FROM events_in WHERE rank IN (180, 190);

-- Failures that have a fingerprint, in the order in which they happened: groups are
-- asked for over a time.
CREATE TABLE IF NOT EXISTS failures
(
    namespace LowCardinality(String),
    occurred_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_id UUID,
    fingerprint LowCardinality(String),
    -- 0 an attempt's, 1 a dead letter's, 2 another event's that tells of one of them
    kind UInt8,
    task_id String,
    user_id String,
    task_type LowCardinality(String),
    queue LowCardinality(String),
    error_kind LowCardinality(String),
    error_class LowCardinality(String),
    error_code LowCardinality(String),
    error_status UInt16,
    error_message String CODEC(ZSTD(1)),
    ingested_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    INDEX fingerprints fingerprint TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (namespace, occurred_at, event_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS failures_mv TO failures AS
SELECT namespace, occurred_at, event_id, fingerprint, multiIf(rank = 60, 0, rank = 150, 1, 2) AS kind, task_id, user_id, task_type, queue,
    error_kind, error_class, error_code, error_status, error_message, ingested_at
FROM events_in
WHERE fingerprint != '' AND rank < 250;

-- The tasks of a fingerprint, in the order of its failures.
CREATE TABLE IF NOT EXISTS fingerprint_tasks
(
    namespace LowCardinality(String),
    fingerprint LowCardinality(String),
    occurred_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    task_id String CODEC(ZSTD(1)),
    ingested_at DateTime('UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, fingerprint, occurred_at, task_id)
TTL ingested_at + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS fingerprint_tasks_mv TO fingerprint_tasks AS
SELECT namespace, fingerprint, occurred_at, task_id, toDateTime(e.ingested_at, 'UTC') AS ingested_at
FROM events_in AS e WHERE fingerprint != '' AND rank < 250;

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
WHERE rank IN (90, 100, 110)
GROUP BY namespace, provider, source_id;

-- What became of the breakers, in the order of a provider's history.
CREATE TABLE IF NOT EXISTS breaker_changes
(
    namespace LowCardinality(String),
    provider String,
    occurred_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_id UUID,
    source_id String,
    agent String,
    task_id String,
    state LowCardinality(String),
    why LowCardinality(String),
    calls UInt32,
    failures UInt32,
    open_until DateTime64(9, 'UTC'),
    ingested_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, provider, occurred_at, event_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS breaker_changes_mv TO breaker_changes AS
SELECT namespace, breaker_provider AS provider, occurred_at, event_id, source_id, agent, task_id,
    breaker_state AS state, breaker_why AS why, breaker_calls AS calls, breaker_failures AS failures, breaker_open_until AS open_until, ingested_at
FROM events_in
WHERE rank IN (90, 100, 110);

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
FROM events_in WHERE rank IN (20, 120);

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
FROM events_in WHERE rank = 250;

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
FROM events_in WHERE rank = 251;

-- +goose Down
SELECT 1;
