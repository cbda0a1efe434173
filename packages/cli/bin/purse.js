#!/usr/bin/env node
// Written so that any Node can read it: an old one is told what it lacks.
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 13)) {
  await import('../dist/main.js');
} else {
  process.stderr.write(
    `purse needs Node 22.13 or newer, for its SQLite; this is ${process.version}. ` +
      `In a clone of the workspace, npx purse runs on the Node that the workspace brings.\n`,
  );
  process.exitCode = 2;
}
