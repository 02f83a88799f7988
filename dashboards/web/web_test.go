package web

import (
	"testing"
	"testing/fstest"
)

func TestBundleIsThereOnlyWhenBuilt(t *testing.T) {
	if got := bundle(fstest.MapFS{"dist/.gitkeep": {}}); got != nil {
		t.Error("an empty dist counts as a UI")
	}
	got := bundle(fstest.MapFS{"dist/index.html": {Data: []byte("page")}})
	if got == nil {
		t.Fatal("a built UI was not found")
	}
	if _, err := got.Open("index.html"); err != nil {
		t.Errorf("index.html is not at the root: %v", err)
	}
}
