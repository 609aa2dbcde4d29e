// Generates TypeScript of operations with graphql-codegen, from a server's introspection, and lets TypeScript check
// programs that use it.
//
//   node codegen.mjs URL [--limit SECONDS]
//
// Prints {"generated": [...], "right": [...], "wrong": [...]}: TypeScript's errors in the generated code, in a program that uses
// the types correctly, and in one that does not.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { codegen } from '@graphql-codegen/core';
import * as operationsPlugin from '@graphql-codegen/typescript-operations';
import { buildClientSchema, getIntrospectionQuery, parse, printSchema } from 'graphql';
import typescript from 'typescript';
import { failAfter, print, readArguments } from './common.mjs';
import { MUTATION, QUERY, SUBSCRIPTION } from './scenario.mjs';

/** What docs/clients.md says of the scalars. */
const SETTINGS = JSON.parse(/```json\n(.+?)\n```/s.exec(readFileSync(new URL('../../docs/clients.md', import.meta.url), 'utf8'))[1]);
const SERIES = 'query Series { report { series(granularity: DAY) { start localStart } } }';
const RIGHT = `
import type { LiveSubscription, RecordMutation, RecordMutationVariables, ReportQuery, ReportQueryVariables, SeriesQuery } from './generated';
export const views = ({ report }: ReportQuery | LiveSubscription): number => report.totals.views;
export const title = ({ report }: ReportQuery): string | undefined => report.pages.nodes[0]?.title ?? undefined;
export const days = ({ report }: SeriesQuery): [Date, string][] => report.series.map(({ start, localStart }) => [new Date(start), localStart]);
export const recordedAt = ({ recordPageViews }: RecordMutation): string => recordPageViews.recordedAt;
export const input: RecordMutationVariables = { input: { increments: [{ page: '/a', title: null }], idempotencyKey: 'a' } };
export const filters: ReportQueryVariables[] = [{}, { filter: { pages: { names: ['/a'] }, interval: { period: 'TODAY' } } }];
`;
const WRONG = `
import type { RecordMutationVariables, ReportQuery, ReportQueryVariables } from './generated';
export const views = ({ report }: ReportQuery): string => report.totals.views;
export const input: RecordMutationVariables = { input: { increments: [{ views: 1 }] } };
export const filter: ReportQueryVariables = { filter: { pages: { names: ['/a'], prefix: '/' } } };
`;

const { url, limit } = readArguments('codegen.mjs URL', {});
failAfter(limit, () => 'the generator');

const headers = { 'content-type': 'application/json' };
const body = JSON.stringify({ query: getIntrospectionQuery({ specifiedByUrl: true, oneOf: true, schemaDescription: true }) });
const answer = await (await fetch(new URL('/graphql', url), { method: 'POST', headers, body })).json();
const schema = buildClientSchema(answer.data);
const config = { ...SETTINGS, enumsAsTypes: true, skipTypename: true };
const generated = await codegen({
  filename: 'generated.ts',
  schema: parse(printSchema(schema)),
  schemaAst: schema,
  documents: [{ document: parse([MUTATION, QUERY, SERIES, SUBSCRIPTION].join('\n')) }],
  config,
  plugins: [{ operations: {} }],
  pluginMap: { operations: operationsPlugin },
});
const folder = mkdtempSync(join(tmpdir(), 'codegen-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const files = Object.entries({ generated, right: RIGHT, wrong: WRONG }).map(([name, text]) => {
  const file = join(folder, `${name}.ts`);
  writeFileSync(file, text);
  return file;
});
const { ScriptTarget, ModuleKind, ModuleResolutionKind } = typescript;
const program = typescript.createProgram(files, {
  strict: true, noEmit: true, types: [],
  target: ScriptTarget.ES2022, module: ModuleKind.ESNext, moduleResolution: ModuleResolutionKind.Bundler,
});
const diagnostics = typescript.getPreEmitDiagnostics(program);
const complaints = (name) => diagnostics.filter(({ file }) => basename(file?.fileName ?? '') === `${name}.ts`).map(({ file, start, messageText }) => {
  const { line } = file.getLineAndCharacterOfPosition(start);
  return `${line}: ${typescript.flattenDiagnosticMessageText(messageText, ' ')}`;
});
await print({ generated: complaints('generated'), right: complaints('right'), wrong: complaints('wrong') });
process.exit(0);
