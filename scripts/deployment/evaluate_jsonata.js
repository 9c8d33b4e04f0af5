// Evaluates JSONata expressions with the reference implementation: reads a JSON array of texts from standard input,
// and writes one JSON array of {result} or {failed: true}. A result that does not exist is null.
const fs = require("fs");
const jsonata = require("jsonata");

async function evaluate(expression) {
  try {
    const result = await jsonata(expression).evaluate(undefined);
    return { result: result === undefined ? null : result };
  } catch (error) {
    return { failed: true };
  }
}

async function main() {
  const expressions = JSON.parse(fs.readFileSync(0, "utf-8"));
  const results = [];
  for (const expression of expressions) results.push(await evaluate(expression));
  process.stdout.write(JSON.stringify(results));
}

main();
