package embedded_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/store/storetest"
)

// ask sends a statement and returns the answer.
func ask(t *testing.T, dsn, params, body string) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q, err := url.ParseQuery(params)
	if err != nil {
		t.Fatal(err)
	}
	if !q.Has("database") {
		q.Set("database", strings.Trim(u.Path, "/"))
	}
	u.Path, u.RawQuery = "/", q.Encode()
	res, err := http.Post(u.String(), "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// must asks for what has to succeed.
func must(t *testing.T, dsn, params, body string) string {
	t.Helper()
	res, text := ask(t, dsn, params, body)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", body, text)
	}
	return text
}

func TestAnswersAsClickHouseDoes(t *testing.T) {
	writer, _ := storetest.DSN(t)
	for _, c := range []struct{ params, body, want, contentType string }{
		{"", "SELECT 1", "1\n", "text/tab-separated-values; charset=UTF-8"},
		{"query=SELECT+2", "", "2\n", "text/tab-separated-values; charset=UTF-8"},
		{"query=SELECT", "3", "3\n", "text/tab-separated-values; charset=UTF-8"},
		{"", "SELECT 1 AS x FORMAT JSONEachRow", `{"x":1}` + "\n", "application/x-ndjson; charset=UTF-8"},
		{"default_format=CSV", "SELECT 'a', 2", "\"a\",2\n", "text/csv; charset=UTF-8; header=absent"},
		{"param_a=x%5Cty&param_n=7", "SELECT {a:String}, {n:UInt8}", "x\\ty\t7\n", "text/tab-separated-values; charset=UTF-8"},
		{"max_threads=1&max_block_size=77", "SELECT getSetting('max_threads'), getSetting('max_block_size')", "1\t77\n", "text/tab-separated-values; charset=UTF-8"},
		{"", "SELECT getSetting('max_block_size') != 77", "1\n", "text/tab-separated-values; charset=UTF-8"},
		{"", "SELECT ';', `a;b` FROM (SELECT 1 AS `a;b`) -- ; c\n;", ";\t1\n", "text/tab-separated-values; charset=UTF-8"},
		{"", "SELECT currentDatabase() = '" + writer[strings.LastIndex(writer, "/")+1:] + "'", "1\n", "text/tab-separated-values; charset=UTF-8"},
	} {
		res, text := ask(t, writer, c.params, c.body)
		if text != c.want || res.Header.Get("Content-Type") != c.contentType || res.Header.Get("X-ClickHouse-Format") == "" {
			t.Errorf("%s %s: %q, %s", c.params, c.body, text, res.Header)
		}
	}
}

func TestErrorsCarryCodeAndStatus(t *testing.T) {
	writer, reader := storetest.DSN(t)
	must(t, writer, "", "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
	for _, c := range []struct {
		dsn, params, body, code string
		status                  int
	}{
		{writer, "", "SELEC 1", "62", 400},
		{writer, "", "", "62", 400},
		{writer, "", "SELECT * FROM nosuch", "60", 404},
		{writer, "nosuch=1", "SELECT 1", "115", 404},
		{writer, "a%27b=1", "SELECT 1", "115", 404},
		{writer, "database=nosuch", "SELECT 1", "81", 404},
		{writer, "", "SELECT {a:String}", "456", 400},
		{writer, "", "SELECT 1; SELECT 2", "62", 400},
		{writer, "", "SELECT 1 INTO OUTFILE '/tmp/x'", "344", 400},
		{writer, "", "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", "344", 400},
		{writer, "session_id=1", "SELECT 1", "344", 400},
		{writer, "query=INSERT+INTO+t+FORMAT+CSV", "x", "117", 400},
		{writer, "default_format=a'b", "SELECT 1", "73", 400},
		{writer, "max_execution_time=1", "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))", "159", 408},
		{writer, "max_result_bytes=1000", "SELECT number FROM numbers(100000)", "396", 500},
		{reader, "", "CREATE TABLE x (a UInt8) ENGINE = MergeTree ORDER BY a", "164", 403},
		{reader, "", "DROP TABLE t", "164", 403},
		{reader, "", "INSERT INTO t VALUES (1)", "164", 403},
		{reader, "query=INSERT+INTO+t+FORMAT+CSV", "1", "164", 403},
		{reader, "", "SET readonly = 0", "164", 403},
		{reader, "readonly=0", "DROP TABLE t", "164", 403},
		{reader, "", "SELECT * FROM file('/etc/passwd', 'LineAsString')", "164", 403},
		{reader, "", "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", "164", 403},
		{reader, "", "SYSTEM STOP MERGES", "164", 403},
		{reader, "", "WITH 1 AS x INSERT INTO t SELECT 1", "164", 403},
		{reader, "", "EXPLAIN SELECT * FROM file('/etc/passwd', 'LineAsString')", "164", 403},
		{reader, "", "SELECT * FROM executable('x', 'TSV', 'a String')", "164", 403},
	} {
		res, text := ask(t, c.dsn, c.params, c.body)
		if res.StatusCode != c.status || res.Header.Get("X-ClickHouse-Exception-Code") != c.code || !strings.HasPrefix(text, "Code: "+c.code+". DB::") {
			t.Errorf("%s %s: status %d, want %d %s: %.200s", c.params, c.body, res.StatusCode, c.status, c.code, text)
		}
	}
}

// What a failed statement had written so far must not reach the next answer.
func TestAFailureLeavesNothingBehind(t *testing.T) {
	_, reader := storetest.DSN(t)
	for range 5 {
		if res, _ := ask(t, reader, "max_block_size=1000", "SELECT throwIf(number = 500000) FROM numbers(1000000)"); res.StatusCode == http.StatusOK {
			t.Fatal("it did not fail")
		}
		if text := must(t, reader, "max_block_size=1000", "SELECT 7"); text != "7\n" {
			t.Fatalf("the next answer is %.60q", text)
		}
	}
}

func TestOnlyItsUsersAreLetIn(t *testing.T) {
	p := storetest.Process(t)
	c := p.Credentials()
	base := "http://" + p.Addr() + "/"
	for name, r := range map[string]struct {
		request func(*http.Request)
		status  int
	}{
		"none":           {func(*http.Request) {}, 403},
		"default":        {func(r *http.Request) { r.SetBasicAuth("default", "") }, 403},
		"wrong password": {func(r *http.Request) { r.SetBasicAuth(c.User, c.Password+"x") }, 403},
		"the other's":    {func(r *http.Request) { r.SetBasicAuth(c.User, c.ReaderPassword) }, 403},
		"basic":          {func(r *http.Request) { r.SetBasicAuth(c.User, c.Password) }, 200},
		"reader":         {func(r *http.Request) { r.SetBasicAuth(c.ReaderUser, c.ReaderPassword) }, 200},
		"headers": {func(r *http.Request) {
			r.Header.Set("X-ClickHouse-User", c.User)
			r.Header.Set("X-ClickHouse-Key", c.Password)
		}, 200},
		"url": {func(r *http.Request) { r.URL.RawQuery += "&user=" + c.User + "&password=" + c.Password }, 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"?query=SELECT+1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.request(req)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != r.status || strings.Contains(string(text), c.Password) {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
	res, err := http.Get(base + "ping")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("ping: %v", err)
	}
	_ = res.Body.Close()
	res, err = http.Get(base + "nothing")
	if err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("unknown path: %v", err)
	}
	_ = res.Body.Close()
}

func TestInsertsInAnyFormat(t *testing.T) {
	writer, reader := storetest.DSN(t)
	must(t, writer, "", "CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100")
	must(t, writer, "", "INSERT INTO t VALUES (1, 'x;y'), (2, 'FORMAT')")
	must(t, writer, "", `INSERT INTO t FORMAT JSONEachRow {"a":3,"s":"z"}`)
	must(t, writer, "query=INSERT+INTO+t+(a,s)+FORMAT+CSV", "4,\"four\"\n5,five\n")
	must(t, writer, "", "INSERT INTO t SELECT number + 6, 'n' FROM numbers(2)")
	for range 2 {
		must(t, writer, "query=INSERT+INTO+t+FORMAT+CSV&insert_deduplication_token=once", "8,\"eight\"\n")
	}
	if got := must(t, reader, "", "SELECT count(), sum(a), groupArray(s) FROM (SELECT * FROM t ORDER BY a)"); got != "8\t36\t['x;y','FORMAT','z','four','five','n','n','eight']\n" {
		t.Errorf("the table holds %s", got)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte("9,nine\n"))
	_ = w.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, writer[:strings.LastIndex(writer, "/")]+"/?database="+
		writer[strings.LastIndex(writer, "/")+1:]+"&query=INSERT+INTO+t+FORMAT+CSV", &z)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "gzip")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(err, res)
	}
	_ = res.Body.Close()
	if got := must(t, reader, "", "SELECT s FROM t WHERE a = 9"); got != "nine\n" {
		t.Errorf("gzip: %q", got)
	}
}

func TestTheGoClientIsAtHome(t *testing.T) {
	writer, _ := storetest.DSN(t)
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP} {
		opt, err := clickhouse.ParseDSN(writer)
		if err != nil {
			t.Fatal(err)
		}
		opt.Compression = &clickhouse.Compression{Method: method, Level: 3}
		c, err := clickhouse.Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		for _, sql := range []string{"DROP TABLE IF EXISTS c", "CREATE TABLE c (a UInt64, s String, at DateTime64(9, 'UTC')) ENGINE = MergeTree ORDER BY a"} {
			if err := c.Exec(ctx, sql); err != nil {
				t.Fatal(method, err)
			}
		}
		b, err := c.PrepareBatch(ctx, "INSERT INTO c")
		if err != nil {
			t.Fatal(method, err)
		}
		at := time.Unix(1, 5).UTC()
		for i := range 50_000 {
			if err := b.Append(uint64(i), "text", at); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Send(); err != nil {
			t.Fatal(method, err)
		}
		rows, err := c.Query(ctx, "SELECT a, s, at FROM c WHERE s = {s:String} ORDER BY a", clickhouse.Named("s", "text"))
		if err != nil {
			t.Fatal(method, err)
		}
		n := uint64(0)
		for rows.Next() {
			var a uint64
			var s string
			var when time.Time
			if err := rows.Scan(&a, &s, &when); err != nil || a != n || s != "text" || !when.Equal(at) {
				t.Fatal(method, err, a, s, when)
			}
			n++
		}
		if err := rows.Err(); err != nil || n != 50_000 {
			t.Errorf("%s: %d rows, %v", method, n, err)
		}
		_ = c.Close()
	}
}

func TestStatementsRunAtOnce(t *testing.T) {
	_, reader := storetest.DSN(t)
	var wg sync.WaitGroup
	began := time.Now()
	for range 8 {
		wg.Go(func() { must(t, reader, "", "SELECT sleep(1)") })
	}
	wg.Wait()
	if d := time.Since(began); d > 6*time.Second {
		t.Errorf("eight sleeps of a second took %s", d)
	}
}

// try asks and gives the error of an answer that is none.
func try(dsn, sql string) (string, error) {
	res, err := http.Post(dsn[:strings.LastIndex(dsn, "/")]+"/", "text/plain", strings.NewReader(sql))
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(string(text))
	}
	return string(text), err
}
