package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"
)

// The migrations are written for one server. For a cluster each table becomes a
// replicated one, named with localSuffix, behind a distributed one of its own
// name; views lead from local table to local table. All of a task's rows come to
// lie on one shard, because what is inserted is spread by its task.
const localSuffix = "_local"

var (
	createTable = regexp.MustCompile(`(?s)^CREATE TABLE IF NOT EXISTS (\w+)\n\((.*?)\n\)\nENGINE = (\w+)(\(.*?\))?(.*)$`)
	createView  = regexp.MustCompile(`(?s)^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO (\w+) AS(.*)$`)
	insertRows  = regexp.MustCompile(`^INSERT INTO \w+ `)
	readsFrom   = regexp.MustCompile(`\bFROM (\w+)`)
	column      = regexp.MustCompile(`(?m)^    (\w+) `)
	sqlComment  = regexp.MustCompile(`(?m)^\s*--.*$\n?`)
)

// onCluster returns the statements that make of one statement of the migrations
// what a cluster needs. A statement of another kind is an error: nobody would
// notice that it went to one server alone.
func onCluster(statement, cluster string) ([]string, error) {
	on, quoted := clusterClause(cluster), "'"+cluster+"'"
	statement = strings.TrimSpace(sqlComment.ReplaceAllString(statement, ""))
	if m := createTable.FindStringSubmatch(statement); m != nil {
		name, columns, engine, args, rest := m[1], m[2], m[3], m[4], m[5]
		if strings.HasSuffix(engine, "MergeTree") {
			// The database is part of the path: several may live in one cluster.
			path := "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
			if inner := strings.Trim(args, "()"); inner != "" {
				path += ", " + inner
			}
			engine, args = "Replicated"+engine, "("+path+")"
			rest = strings.ReplaceAll(rest, "non_replicated_deduplication_window = 10000",
				"replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800")
		}
		return []string{
			"CREATE TABLE IF NOT EXISTS " + name + localSuffix + on + "\n(" + columns + "\n)\nENGINE = " + engine + args + rest,
			"CREATE TABLE IF NOT EXISTS " + name + on + " AS " + name + localSuffix +
				"\nENGINE = Distributed(" + quoted + ", currentDatabase(), '" + name + localSuffix + "', " + shardKey(columns) + ")",
		}, nil
	}
	if m := createView.FindStringSubmatch(statement); m != nil {
		return []string{"CREATE MATERIALIZED VIEW IF NOT EXISTS " + m[1] + on + " TO " + m[2] + localSuffix + " AS" +
			readsFrom.ReplaceAllString(m[3], "FROM ${1}"+localSuffix)}, nil
	}
	if statement == "SELECT 1" || insertRows.MatchString(statement) {
		return []string{statement}, nil // from a distributed table into another
	}
	return nil, fmt.Errorf("a statement of the migrations has no form for clusters: %.80s", statement)
}

// shardKey spreads a table's rows by task, or by what else belongs together.
func shardKey(columns string) string {
	has := map[string]bool{}
	for _, m := range column.FindAllStringSubmatch(columns, -1) {
		has[m[1]] = true
	}
	for _, key := range [][]string{{"namespace", "task_id"}, {"namespace", "slot"}, {"namespace", "id"}, {"source_id"}} {
		missing := false
		for _, c := range key {
			missing = missing || !has[c]
		}
		if !missing {
			return "cityHash64(" + strings.Join(key, ", ") + ")"
		}
	}
	return "rand()"
}

// clustered gives the migrations in their form for a cluster.
type clustered struct {
	fs.FS
	cluster string
}

// Open opens a migration rewritten, everything else as it is.
func (c clustered) Open(name string) (fs.File, error) {
	if !strings.HasSuffix(name, ".sql") {
		return c.FS.Open(name) //nolint:wrapcheck // says all there is
	}
	text, err := fs.ReadFile(c.FS, name)
	if err != nil {
		return nil, err //nolint:wrapcheck // says all there is
	}
	out, err := clusterFile(string(text), c.cluster)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &rewritten{Reader: bytes.NewReader([]byte(out)), name: name, size: int64(len(out))}, nil
}

// clusterFile rewrites a whole migration; its annotations stay.
func clusterFile(text, cluster string) (string, error) {
	var out strings.Builder
	for part := range strings.SplitSeq(text, ";\n") {
		var statement strings.Builder
		for line := range strings.Lines(part) {
			if strings.HasPrefix(line, "-- +goose") {
				out.WriteString(line)
				continue
			}
			statement.WriteString(line)
		}
		if strings.TrimSpace(sqlComment.ReplaceAllString(statement.String()+"\n", "")) == "" {
			continue
		}
		statements, err := onCluster(statement.String()+"\n", cluster)
		if err != nil {
			return "", err
		}
		for _, s := range statements {
			out.WriteString(s + ";\n")
		}
	}
	return out.String(), nil
}

// rewritten is a file in memory.
type rewritten struct {
	*bytes.Reader
	name string
	size int64
}

func (f *rewritten) Stat() (fs.FileInfo, error) { return f, nil }
func (f *rewritten) Close() error               { return nil }
func (f *rewritten) Name() string               { return f.name }
func (f *rewritten) Size() int64                { return f.size }
func (f *rewritten) Mode() fs.FileMode          { return 0o444 }
func (f *rewritten) ModTime() time.Time         { return time.Time{} }
func (f *rewritten) IsDir() bool                { return false }
func (f *rewritten) Sys() any                   { return nil }
