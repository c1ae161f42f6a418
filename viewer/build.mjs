// Builds the viewer into the package: one script, one style sheet, and the licences of what the script holds.
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "mars2_env", "view", "built");
mkdirSync(out, { recursive: true });

await build({
  absWorkingDir: here,
  entryPoints: { viewer: "main.ts" },
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
  outdir: out,
  logLevel: "warning",
});

const bundled = Object.keys(JSON.parse(readFileSync(join(here, "package.json"), "utf8")).dependencies).sort();
const notices = bundled.map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const text = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license"]
    .map((file) => {
      try {
        return readFileSync(join(folder, file), "utf8");
      } catch {
        return "";
      }
    })
    .find(Boolean);
  if (!text) throw new Error(`${name} has no licence file`);
  return `${name} ${version} (${license})\n\n${text.replace(/\r/g, "").trim()}\n`;
});
const head = "viewer.js and viewer.css in this folder hold the following libraries, each under its own licence.\n\n";
writeFileSync(join(out, "LICENSES.txt"), head + notices.join(`\n${"-".repeat(80)}\n\n`));
