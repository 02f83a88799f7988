-- +goose NO TRANSACTION
-- +goose Up

-- What attempts and runs came to by the minute and the type of task, made of
-- outcomes by the store as outcome_rollups are, with the marks of the minute's
-- slots in the key. All types of a minute stand in one row, so that a minute is
-- there as a whole or not at all. What was written before is rolled up when it is
-- asked for.
CREATE TABLE IF NOT EXISTS outcome_minutes
(
    namespace LowCardinality(String),
    slot DateTime('UTC'),
    n UInt64,
    hashes UInt64,
    -- type, runs that completed, that failed, that were lost, attempts, attempts that
    -- failed, the sum of their durations, attempts by floor(16 * log2(duration in nanoseconds + 1))
    types Array(Tuple(String, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, Map(UInt16, UInt64)))
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, slot, n, hashes)
TTL slot + INTERVAL 90 DAY
SETTINGS index_granularity = 256;

-- +goose Down
SELECT 1;
