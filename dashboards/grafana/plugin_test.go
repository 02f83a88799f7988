package grafana_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// window is the time that a query is asked about.
type window struct {
	from, to time.Time
	interval time.Duration
}

var (
	macro    = regexp.MustCompile(`\$__(\w+)(\(([^()]*)\))?`)
	variable = regexp.MustCompile(`\$\{(\w+):sqlstring\}`)
	word     = regexp.MustCompile(`^[a-z_]+$`)
	plain    = regexp.MustCompile(`^(Nullable\()?(LowCardinality\()?(String|U?Int(8|16|32|64)|Float64|DateTime(64)?(\(.*\))?|UUID|Bool)\)*$`)
)

// expand does what the plugin's backend does to the macros it knows. Arguments
// are names of columns alone: how it reads brackets within brackets has changed
// from version to version.
func expand(t *testing.T, sql string, w window) string {
	t.Helper()
	seconds := max(int(w.interval.Seconds()), 1)
	at := func(v time.Time) string { return fmt.Sprintf("toDateTime(%d)", v.Unix()) }
	out := macro.ReplaceAllStringFunc(sql, func(found string) string {
		m := macro.FindStringSubmatch(found)
		name, arg := m[1], m[3]
		switch name {
		case "timeFilter", "timeInterval":
			if !word.MatchString(arg) {
				t.Errorf("%s: want the name of a column", found)
			}
		default:
			if m[2] != "" {
				t.Errorf("%s takes no argument", found)
			}
		}
		switch name {
		case "fromTime":
			return at(w.from)
		case "toTime":
			return at(w.to)
		case "timeFilter":
			return fmt.Sprintf("%s >= %s AND %s <= %s", arg, at(w.from), arg, at(w.to))
		case "timeInterval":
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", arg, seconds)
		case "interval_s":
			return fmt.Sprint(seconds)
		default:
			t.Errorf("the plugin's backend does not know %s", found)
			return found
		}
	})
	return out
}

// fill does what Grafana does to variables in the one form that quotes them.
func fill(t *testing.T, sql string, values map[string]string) string {
	t.Helper()
	out := variable.ReplaceAllStringFunc(sql, func(found string) string {
		name := variable.FindStringSubmatch(found)[1]
		v, ok := values[name]
		if !ok {
			t.Errorf("%s: the dashboard has no such variable", found)
		}
		return v
	})
	if strings.Contains(out, "${") {
		t.Errorf("a variable that is not quoted: %s", out)
	}
	return out
}

// answer is what ClickHouse says to a query.
type answer struct {
	Meta []struct{ Name, Type string }
	Data []map[string]any
}

// ask sends a query as the reading user does.
func ask(t *testing.T, reader, sql string) answer {
	t.Helper()
	i := strings.LastIndex(reader, "/")
	res, err := http.Post(reader[:i]+"/?database="+reader[i+1:], "text/plain", strings.NewReader(sql+"\nFORMAT JSON"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s\n%s", text, sql)
		return answer{}
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	for _, m := range a.Meta {
		if !plain.MatchString(m.Type) {
			t.Errorf("column %s is %s, which the plugin may not show\n%s", m.Name, m.Type, sql)
		}
	}
	return a
}

func isTime(typ string) bool { return strings.Contains(typ, "DateTime") }

func isNumber(typ string) bool {
	return !isTime(typ) && (strings.Contains(typ, "Int") || strings.Contains(typ, "Float"))
}

// tells reports whether there is something in the answer but zeros.
func (a answer) tells() bool {
	numbers := false
	for _, m := range a.Meta {
		if !isNumber(m.Type) {
			continue
		}
		numbers = true
		for _, row := range a.Data {
			if n, ok := row[m.Name].(float64); ok && n != 0 {
				return true
			}
		}
	}
	return !numbers && len(a.Data) > 0
}
