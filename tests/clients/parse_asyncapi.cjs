// Says what is wrong with an AsyncAPI document: node parse_asyncapi.cjs FILE (NODE_PATH has @asyncapi/parser).
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

new Parser().parse(readFileSync(process.argv[2], "utf8")).then(({ document, diagnostics }) => {
  const wrong = diagnostics.filter(({ severity }) => severity <= 1);
  for (const { code, message, path } of wrong) console.log(`${path.join(".")}: ${code}: ${message}`);
  process.exit(document && wrong.length === 0 ? 0 : 1);
});
