-- +goose NO TRANSACTION
-- +goose Up

-- The payment references of tasks that are older than reference_tasks, taken out of
-- their records. There an attribute is its key, a tag and a length, and within that
-- another tag and length before the text; a length of 128 and more has two bytes.
-- What stands there already is added once more at most, and readers ask for each
-- task once. A server goes through its events in the order in which they lie and
-- holds one task at a time, so that it needs little memory for any number of them;
-- of a cluster every server goes through its own.
INSERT INTO reference_tasks (namespace, reference, created_at, task_id, ingested_at)
WITH
    substring(record, position(record, 'task.metadata.payment_reference\x12') + 32, 520) AS value,
    substring(value, if(reinterpretAsUInt8(substring(value, 1, 1)) < 128, 2, 3)) AS tagged,
    reinterpretAsUInt8(substring(tagged, 2, 1)) AS size,
    if(size < 128, substring(tagged, 3, size), substring(tagged, 4, size - 128 + 128 * reinterpretAsUInt8(substring(tagged, 3, 1)))) AS found
SELECT namespace, found AS reference, min(occurred_at) AS created_at, task_id, toDateTime(max(e.ingested_at), 'UTC') AS ingested_at
FROM events AS e
WHERE position(record, 'task.metadata.payment_reference\x12') > 0 AND startsWith(tagged, '\n') AND length(found) BETWEEN 1 AND 512
GROUP BY namespace, task_id, reference
SETTINGS optimize_aggregation_in_order = 1, parallel_distributed_insert_select = 2, max_threads = 2, max_block_size = 8192,
    min_insert_block_size_rows = 200000, min_insert_block_size_bytes = 67108864;

-- +goose Down
SELECT 1;
