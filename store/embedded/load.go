//go:build !noengine

package embedded

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// HasLoader says whether this build can load the engine library. One that can is
// linked dynamically; the tag noengine makes a static one that cannot.
const HasLoader = true

// loadLibrary maps the library into the process, where it stays: the engine's
// threads cannot be taken back.
func loadLibrary(path string) (lib *library, err error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load the ClickHouse engine library %s: %w", path, err)
	}
	lib = new(library)
	for name, fn := range map[string]any{
		"chdb_connect":                     &lib.connect,
		"chdb_close_conn":                  &lib.closeConn,
		"chdb_query_n":                     &lib.query,
		"chdb_query_with_params_n":         &lib.queryParams,
		"chdb_stream_insert_n":             &lib.insertStream,
		"chdb_stream_append":               &lib.insertAppend,
		"chdb_stream_done":                 &lib.insertDone,
		"chdb_stream_insert_error":         &lib.insertError,
		"chdb_destroy_insert_stream":       &lib.insertDestroy,
		"chdb_result_buffer":               &lib.resultBuffer,
		"chdb_result_length":               &lib.resultLength,
		"chdb_result_error":                &lib.resultError,
		"chdb_result_rows_read":            &lib.resultRows,
		"chdb_result_rows_written":         &lib.resultWritten,
		"chdb_destroy_query_result":        &lib.resultDestroy,
		"chdb_set_signal_handlers_enabled": &lib.signalHandlers,
	} {
		sym, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("the ClickHouse engine library %s is of another version, it lacks %s: install the pinned one with %q",
				path, name, installHint)
		}
		purego.RegisterFunc(fn, sym)
	}
	return lib, nil
}
