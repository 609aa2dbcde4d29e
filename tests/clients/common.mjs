// Shared by the clients: arguments, one time limit for everything, output one line at a time.
import { parseArgs } from 'node:util';

/** Reads `URL` and the given options; `--limit SECONDS` is always one of them. Ends the process when they are wrong. */
export function readArguments(usage, options) {
  try {
    const { values, positionals } = parseArgs({
      options: { limit: { type: 'string', default: '30' }, ...options },
      allowPositionals: true,
    });
    if (positionals.length !== 1) throw new Error('exactly one URL is needed');
    if (!(Number(values.limit) > 0)) throw new Error('--limit is a number of seconds');
    return { url: new URL(positionals[0]), ...values, limit: Number(values.limit) };
  } catch (error) {
    process.stderr.write(`${error.message}\nusage: node ${usage} [--limit SECONDS]\n`);
    process.exit(1);
  }
}

/** Writes one JSON object as one line and resolves when it is written. */
export function print(value) {
  return new Promise((resolve) => process.stdout.write(`${JSON.stringify(value)}\n`, resolve));
}

/** Writes a line for whoever reads the test's log. */
export function log(line) {
  process.stderr.write(`${line}\n`);
}

/** Ends the process as failed. */
export function fail(reason) {
  log(`failed: ${reason}`);
  process.exit(1);
}

/** Fails after `seconds`, saying what `describe()` says the client waited for. */
export function failAfter(seconds, describe) {
  setTimeout(() => fail(`after ${seconds} s still waiting for ${describe()}`), seconds * 1000);
}
