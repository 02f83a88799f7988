// A build empties dist; the Go package that embeds it needs the directory also
// where nothing was built, so the kept file goes back.
import { writeFileSync } from "node:fs";
writeFileSync(new URL("../dist/.gitkeep", import.meta.url), "");
