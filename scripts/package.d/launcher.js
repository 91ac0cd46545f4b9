#!/usr/bin/env node
// Becomes the program of the package for this platform, or starts it where Node cannot replace itself.
"use strict";

const { spawn } = require("child_process");
const { closeSync, openSync } = require("fs");
const { constants } = require("os");

const platform = `${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`@dogwatch/${platform}/bin/dogwatch`);
} catch {
  console.error(
    `dogwatch: the package @dogwatch/${platform} is not installed; install without --omit=optional, or, where there is none for this platform, with cargo install dogwatch`,
  );
  process.exit(125);
}
const argv = process.argv.slice(2);

// Node 22.15 and later: execve(2). No process stands between, so signals and exit code are the program's own.
if (process.execve) process.execve(program, ["dogwatch", ...argv], process.env);

// A terminal sends INT, QUIT and HUP to every process of the foreground group, the program included. Forwarded once more,
// the program would take them for a second request and end the work at once. Without a terminal only this process gets them.
let terminal = false;
try {
  closeSync(openSync("/dev/tty", "r"));
  terminal = true;
} catch {}

const child = spawn(program, argv, { argv0: "dogwatch", stdio: "inherit" });
child.on("error", (error) => {
  console.error(`dogwatch: cannot execute ${program}: ${error.message}`);
  process.exit(125);
});
for (const signal of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGUSR2"]) {
  const sentToAll = terminal && signal !== "SIGTERM" && signal !== "SIGUSR2";
  process.on(signal, () => sentToAll || child.kill(signal));
}
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
