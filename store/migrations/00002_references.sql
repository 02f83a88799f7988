-- +goose NO TRANSACTION
-- +goose Up

-- Which tasks carry a payment reference, as the pair payment_reference of their
-- metadata: where to look for few among many, like user_tasks. The writer inserts
-- here by itself, and only where a block has any: a task without one costs nothing.
-- created_at is no earlier than the task.
CREATE TABLE IF NOT EXISTS reference_tasks
(
    namespace LowCardinality(String),
    reference String,
    created_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    task_id String,
    ingested_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, reference, created_at, task_id)
TTL ingested_at + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- +goose Down
SELECT 1;
