// Fails where src/api/schema.ts is not what the OpenAPI document gives.
import { readFileSync } from "node:fs";
import openapiTS, { astToString, COMMENT_HEADER } from "openapi-typescript";

const want = COMMENT_HEADER + astToString(await openapiTS(new URL("../../../query/openapi.yaml", import.meta.url)));
if (readFileSync(new URL("../src/api/schema.ts", import.meta.url), "utf8") !== want) {
  console.error("src/api/schema.ts is not current: npm run generate");
  process.exit(1);
}
