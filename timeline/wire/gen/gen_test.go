package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files")

const root = "../../.."

// What is generated must be what the table says.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	if *update {
		if err := run(root); err != nil {
			t.Fatal(err)
		}
	}
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not current: run go run ./timeline/wire/gen", name)
		}
	}
}

func TestTableIsSound(t *testing.T) {
	keys, names := map[string]bool{}, map[string]bool{}
	for _, g := range table {
		anchors := 0
		for _, f := range g.fields {
			for _, k := range append([]string{f.key}, f.aliases...) {
				if keys[k] {
					t.Errorf("%s stands in the table twice", k)
				}
				keys[k] = true
			}
			if names[f.name] {
				t.Errorf("%s stands in the table twice", f.name)
			}
			names[f.name] = true
			if len(f.key) > 100 {
				t.Errorf("%s: keys are shorter than 100 bytes, so that their length is one byte on the wire", f.key)
			}
			if f.doc == "" || f.on == "" || onWire[f.kind] == "" {
				t.Errorf("%s: not documented", f.key)
			}
			if f.always {
				anchors++
			}
		}
		if g.name != "" && anchors == 0 {
			t.Errorf("group %s has no field that is always written", g.name)
		}
	}
}
