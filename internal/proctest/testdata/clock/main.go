// Command clock says for each line that it reads what time it is, and how long it has
// run, both in seconds.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	began := time.Now()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(time.Now().Unix(), int(time.Since(began).Seconds()))
	}
}
