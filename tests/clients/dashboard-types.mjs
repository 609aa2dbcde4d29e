// The types of the dashboard's queries and their responses, from schema.graphql and the dashboard's own queries.
//
//   node dashboard-types.mjs [--write]
//
// Prints {"queries": N} when api/assets/dashboard/schema.d.ts is up to date; with --write it updates the file.
import { readFileSync, writeFileSync } from 'node:fs';
import {
  Kind, TypeInfo, buildSchema, isEnumType, isInputObjectType, isListType, isNonNullType, parse, typeFromAST, validate, visit,
} from 'graphql';
import { fail, print } from './common.mjs';

const ROOT = new URL('../../', import.meta.url);
const FILE = new URL('api/assets/dashboard/schema.d.ts', ROOT);
const SCALARS = { SafeInt: 'number', Int: 'number', Float: 'number', Boolean: 'boolean', String: 'string', ID: 'string', DateTime: 'string', LocalDateTime: 'string' };

const schema = buildSchema(readFileSync(new URL('schema.graphql', ROOT), 'utf8'));
const queries = Object.values(await import(new URL('api/assets/dashboard/query.js', ROOT)));

/** The inputs and enums that are spoken of, in the order of their names. */
const named = new Map();

/** TypeScript for a type; an object's fields come from `fields`. */
function typeText(type, fields) {
  if (isNonNullType(type)) return valueText(type.ofType, fields);
  return `${valueText(type, fields)} | null`;
}

function valueText(type, fields) {
  if (isListType(type)) {
    const item = typeText(type.ofType, fields);
    return item.includes('|') ? `(${item})[]` : `${item}[]`;
  }
  if (fields !== undefined) return fields;
  const { name } = type;
  if (SCALARS[name]) return SCALARS[name];
  if (!named.has(name)) {
    named.set(name, '');
    named.set(name, declaration(type));
  }
  return name;
}

function declaration(type) {
  if (isEnumType(type)) return `export type ${type.name} = ${type.getValues().map(({ name }) => `'${name}'`).join(' | ')};`;
  if (!isInputObjectType(type)) throw new Error(`no TypeScript for ${type.name}`);
  const fields = Object.values(type.getFields());
  if (type.isOneOf) {
    const choices = fields.map(({ name, type: of }) => `{ ${name}: ${valueText(of)} }`);
    return `export type ${type.name} = ${choices.join(' | ')};`;
  }
  return `export type ${type.name} = { ${fields.map(inputField).join('; ')} };`;
}

function inputField({ name, type, defaultValue }) {
  return isNonNullType(type) && defaultValue === undefined ? `${name}: ${typeText(type)}` : `${name}?: ${typeText(type)}`;
}

function operationTypes(text) {
  const document = parse(text);
  const errors = validate(schema, document);
  if (errors.length > 0) fail(`a query of the dashboard does not fit the schema: ${errors.join('; ')}`);
  const [operation] = document.definitions;
  const variables = operation.variableDefinitions.map(({ variable, type }) => inputField({ name: variable.name.value, type: typeFromAST(schema, type) }));
  const types = new Map();
  const info = new TypeInfo(schema);
  const note = { [Kind.FIELD]: (node) => void types.set(node, info.getType()) };
  visit(document, { enter: (node) => { info.enter(node); note[node.kind]?.(node); }, leave: (node) => info.leave(node) });
  const fieldsText = (set, indent) => {
    const lines = set.selections.map((field) => {
      const inner = field.selectionSet && fieldsText(field.selectionSet, `${indent}  `);
      // With @include or @skip, it may be missing.
      const name = `${(field.alias ?? field.name).value}${field.directives.length > 0 ? '?' : ''}`;
      return `${indent}  ${name}: ${typeText(types.get(field), inner)};\n`;
    });
    return `{\n${lines.join('')}${indent}}`;
  };
  const name = operation.name.value;
  return `export type ${name}Data = ${fieldsText(operation.selectionSet, '')};\nexport type ${name}Variables = { ${variables.join('; ')} };\n`;
}

// The chart's types are those of the package here; they have to be of the version that the page has.
const [here, vendored] = ['tests/clients/node_modules/uplot/dist/', 'api/assets/dashboard/'].map((folder) => readFileSync(new URL(`${folder}uPlot.iife.min.js`, ROOT), 'utf8'));
if (here !== vendored) fail('tests/clients/package.json and api/assets/dashboard/VENDORED.md name different versions of uplot');

const operations = queries.map(operationTypes).join('\n');
const inputs = [...named].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
const text = `// Generated from schema.graphql and query.js: node tests/clients/dashboard-types.mjs --write\n\n${inputs.join('\n')}\n\n${operations}`;

if (process.argv.includes('--write')) writeFileSync(FILE, text);
else if (readFileSync(FILE, 'utf8') !== text) fail('api/assets/dashboard/schema.d.ts is not up to date; run: node tests/clients/dashboard-types.mjs --write');
await print({ queries: queries.length });
