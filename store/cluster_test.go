package store_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/store"
)

// Every statement is understood by the engine's own parser, for one server and
// for a cluster.
func TestTheServerUnderstandsEveryStatement(t *testing.T) {
	s := openUnmigrated(t)
	for _, cluster := range []string{"", "main-1"} {
		statements := 0
		for name, text := range store.Migrations(t, cluster) {
			for part := range strings.SplitSeq(text, ";\n") {
				if sql := strings.TrimSpace(regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(part, "")); sql != "" {
					statements++
					if err := s.Parse(t, sql); err != nil {
						t.Errorf("%s, cluster %q: %v\n%s", name, cluster, err, sql)
					}
				}
			}
		}
		if statements < 40 {
			t.Errorf("cluster %q: only %d statements", cluster, statements)
		}
	}
	if err := s.Parse(t, "CREATE TABLE t ON CLUSTER ENGINE = Null"); err == nil {
		t.Error("the parser takes anything")
	}
}

func TestAClusterHasReplicatedTablesBehindDistributedOnes(t *testing.T) {
	one, many := "", ""
	for _, text := range store.Migrations(t, "") {
		one += text
	}
	for _, text := range store.Migrations(t, "main-1") {
		many += text
	}
	count := func(text, pattern string) int { return len(regexp.MustCompile(pattern).FindAllString(text, -1)) }
	tables, views := count(one, `CREATE TABLE`), count(one, `CREATE MATERIALIZED VIEW`)
	for pattern, want := range map[string]int{
		`INSERT INTO \w+_local`: 0, // through the distributed table
		`CREATE TABLE IF NOT EXISTS \w+_local ON CLUSTER 'main-1'`:                       tables,
		`ENGINE = Distributed\('main-1', currentDatabase\(\), '\w+_local', `:             tables,
		`CREATE MATERIALIZED VIEW IF NOT EXISTS \w+ ON CLUSTER 'main-1' TO \w+_local AS`: views,
		`ENGINE = Replicated\w*MergeTree\('/clickhouse/tables/\{shard\}/`:                count(one, `ENGINE = \w*MergeTree`),
		`ENGINE = (Replacing|Aggregating|Summing)?MergeTree`:                             0,
		`non_replicated_deduplication_window`:                                            0,
		`'events_in_local', cityHash64\(namespace, task_id\)`:                            1,
		`'tasks_in_local', cityHash64\(namespace, task_id\)`:                             1,
		`ReplicatedReplacingMergeTree\('[^']*', '\{replica\}', version\)`:                1,
	} {
		if n := count(many, pattern); n != want {
			t.Errorf("%s: %d times, want %d", pattern, n, want)
		}
	}
	for _, m := range regexp.MustCompile(`(?s)CREATE MATERIALIZED VIEW [^;]*?\bFROM (\w+)`).FindAllStringSubmatch(many, -1) {
		if !strings.HasSuffix(m[1], "_local") {
			t.Errorf("a view reads from %s", m[1])
		}
	}
}

func TestAMigrationWithoutAFormForClustersIsRefused(t *testing.T) {
	for _, sql := range []string{"ALTER TABLE events ADD COLUMN a String", "DROP TABLE events", "CREATE TABLE events (a String) ENGINE = Null"} {
		if out, err := store.OnCluster(sql, "main"); err == nil {
			t.Errorf("%s became %q", sql, out)
		}
	}
	if _, err := store.Open(t.Context(), store.Config{DSN: "http://127.0.0.1:1/x", Cluster: "it's"}); err == nil || !strings.Contains(err.Error(), "Cluster") {
		t.Errorf("a name with a quote: %v", err)
	}
}
