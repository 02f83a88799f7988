package embedded_test

import (
	"os"
	"testing"

	"github.com/tasktrail/tasktrail/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
