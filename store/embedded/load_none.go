//go:build noengine

package embedded

// HasLoader says whether this build can load the engine library: it is made with
// the tag noengine, for images without a dynamic linker.
const HasLoader = false

func loadLibrary(string) (*library, error) { return nil, ErrNoLibrary }
