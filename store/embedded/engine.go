package embedded

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"unsafe"
)

// Exception is an error of the engine, or one of the facade in the engine's own
// form.
type Exception struct {
	Code int
	Text string // as the engine gives it: "Code: 60. DB::Exception: …"
}

func (e *Exception) Error() string { return e.Text }

var exceptionCode = regexp.MustCompile(`^Code: (\d+)\.`)

func newException(text string) *Exception {
	e := &Exception{Code: 1001, Text: text} // STD_EXCEPTION
	if m := exceptionCode.FindStringSubmatch(text); m != nil {
		e.Code, _ = strconv.Atoi(m[1])
	} else {
		e.Text = "Code: 1001. DB::Exception: " + text
	}
	return e
}

func exceptionf(code int, name, format string, args ...any) *Exception {
	return &Exception{code, fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name)}
}

// engine is the running engine: the library and the arguments that every
// connection repeats.
type engine struct {
	lib  *library
	args [][]byte
}

// connection is one session of the engine. It runs one statement at a time.
type connection struct {
	lib    *library
	handle *uintptr
}

// connect opens a session; the first one opens the data directory and starts the
// engine's background work.
func (e *engine) connect() (*connection, error) {
	argv := make([]unsafe.Pointer, len(e.args)+1)
	var pin runtime.Pinner
	defer pin.Unpin()
	for i, a := range e.args {
		pin.Pin(&a[0])
		argv[i] = unsafe.Pointer(&a[0])
	}
	handle := e.lib.connect(int32(len(e.args)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if handle == nil || *handle == 0 {
		return nil, errors.New("the ClickHouse engine did not start: is its data directory complete, writable and of this version?")
	}
	return &connection{lib: e.lib, handle: handle}, nil
}

func (c *connection) close() { c.lib.closeConn(c.handle) }

// param is one {name:Type} substitution; the value is in the text form that the
// HTTP interface takes.
type param struct{ name, value string }

// query runs one statement and hands its output to use while the library holds
// it. An error is an *Exception, or that of use. After an *Exception the
// connection must not be used again: what the failed statement had written
// so far comes out of the next one.
func (c *connection) query(sql []byte, format string, params []param, use func(out []byte, rows uint64) error) error {
	if len(sql) == 0 {
		return exceptionf(62, "SYNTAX_ERROR", "Empty query")
	}
	f := []byte(format)
	var result uintptr
	if len(params) == 0 {
		result = c.lib.query(*c.handle, unsafe.Pointer(&sql[0]), uintptr(len(sql)), unsafe.Pointer(&f[0]), uintptr(len(f)))
	} else {
		result = c.queryParams(sql, f, params)
	}
	runtime.KeepAlive(sql)
	runtime.KeepAlive(f)
	return c.take(result, use)
}

func (c *connection) queryParams(sql, format []byte, params []param) uintptr {
	n := len(params)
	names, values := make([]unsafe.Pointer, n), make([]unsafe.Pointer, n)
	nameLens, valueLens := make([]uintptr, n), make([]uintptr, n)
	var pin runtime.Pinner
	defer pin.Unpin()
	for i, p := range params {
		for _, s := range [...]struct {
			text string
			ptrs []unsafe.Pointer
			lens []uintptr
		}{{p.name, names, nameLens}, {p.value, values, valueLens}} {
			b := append([]byte(s.text), 0)
			pin.Pin(&b[0])
			s.ptrs[i], s.lens[i] = unsafe.Pointer(&b[0]), uintptr(len(s.text))
		}
	}
	return c.lib.queryParams(*c.handle, unsafe.Pointer(&sql[0]), uintptr(len(sql)), unsafe.Pointer(&format[0]), uintptr(len(format)),
		unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0]), unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0]), uintptr(n))
}

// take reads and frees a result.
func (c *connection) take(result uintptr, use func([]byte, uint64) error) error {
	if result == 0 {
		return newException("the engine gave no result")
	}
	defer c.lib.resultDestroy(result)
	if text := goString(c.lib.resultError(result)); text != "" {
		return newException(text)
	}
	if use == nil {
		return nil
	}
	var out []byte
	if n := c.lib.resultLength(result); n > 0 {
		out = unsafe.Slice((*byte)(c.lib.resultBuffer(result)), n)
	}
	return use(out, c.lib.resultRows(result))
}

// exec runs a statement whose output does not matter.
func (c *connection) exec(sql string) error { return c.query([]byte(sql), "Null", nil, nil) }

// insert runs an INSERT (without its FORMAT clause) with data in a format. The
// rule of query about connections after an *Exception holds.
func (c *connection) insert(sql, format string, data []byte) error {
	q, f := []byte(sql), []byte(format)
	stream := c.lib.insertStream(*c.handle, unsafe.Pointer(&q[0]), uintptr(len(q)), unsafe.Pointer(&f[0]), uintptr(len(f)))
	runtime.KeepAlive(q)
	runtime.KeepAlive(f)
	if stream == 0 {
		return newException("the engine began no insert")
	}
	defer c.lib.insertDestroy(stream)
	failed := func() error {
		if text := goString(c.lib.insertError(stream)); text != "" {
			return newException(text)
		}
		return nil
	}
	if err := failed(); err != nil {
		return err
	}
	if len(data) > 0 {
		status := c.lib.insertAppend(stream, unsafe.Pointer(&data[0]), uintptr(len(data)))
		runtime.KeepAlive(data)
		if err := failed(); err != nil {
			return err
		}
		if status != 0 {
			return newException("the engine refused the data of an insert")
		}
	}
	if err := c.take(c.lib.insertDone(stream), nil); err != nil {
		return err
	}
	return failed()
}

// setting is one setting of a statement; name is a plain identifier.
type setting struct{ name, value string }

func quoteString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(s) + "'"
}

func quoteIdentifier(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`", "\x00", `\0`).Replace(s) + "`"
}
