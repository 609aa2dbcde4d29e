// Compares both forms of a server's schema: the text at /schema.graphql, and the response to a client's introspection. All of
// it has to be the same, and everything has to be described.
//
//   node schema.mjs URL [--limit SECONDS]
//
// Prints {"differences": [...], "undescribed": [...], "unspecified": [...], "descriptions": {NAME: TEXT}, "urls": {SCALAR: URL}}.
import {
  buildClientSchema, buildSchema, getIntrospectionQuery, isEnumType, isInputObjectType, isIntrospectionType, isObjectType,
  isScalarType, isSpecifiedScalarType, lexicographicSortSchema, printSchema,
} from 'graphql';
import { failAfter, print, readArguments } from './common.mjs';

const { url, limit } = readArguments('schema.mjs URL', {});
failAfter(limit, () => 'the server');

const text = await (await fetch(new URL('/schema.graphql', url))).text();
const written = buildSchema(text);
// Not every client can read a schema's description where it belongs.
written.description = /^# (.*)\n/.exec(text)?.[1];
const query = getIntrospectionQuery({ descriptions: true, specifiedByUrl: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true });
const headers = { 'content-type': 'application/json' };
const answer = await (await fetch(new URL('/graphql', url), { method: 'POST', headers, body: JSON.stringify({ query }) })).json();
if (answer.errors) throw new Error(JSON.stringify(answer.errors));
const introspected = buildClientSchema(answer.data);

const lines = (schema) => printSchema(lexicographicSortSchema(schema)).split('\n');
const [here, there] = [lines(written), lines(introspected)];
const differences = here.flatMap((line, index) => (line === there[index] ? [] : [`${line} is not ${there[index]}`]));
if (here.length !== there.length) differences.push(`${here.length} lines are not ${there.length}`);

const undescribed = [];
const unspecified = [];
const descriptions = { schema: introspected.description };
const urls = {};
function look(name, { description }) {
  if (!description?.trim()) undescribed.push(name);
}
look('schema', written);
for (const type of Object.values(introspected.getTypeMap())) {
  if (isIntrospectionType(type)) continue;
  look(type.name, type);
  descriptions[type.name] = type.description;
  if (isScalarType(type) && !isSpecifiedScalarType(type)) {
    if (type.specifiedByURL) urls[type.name] = type.specifiedByURL;
    else unspecified.push(type.name);
  }
  if (isEnumType(type)) for (const value of type.getValues()) look(`${type.name}.${value.name}`, value);
  if (!isObjectType(type) && !isInputObjectType(type)) continue;
  for (const field of Object.values(type.getFields())) {
    look(`${type.name}.${field.name}`, field);
    for (const argument of field.args ?? []) look(`${type.name}.${field.name}(${argument.name}:)`, argument);
  }
}
for (const directive of introspected.getDirectives()) {
  look(`@${directive.name}`, directive);
  for (const argument of directive.args) look(`@${directive.name}(${argument.name}:)`, argument);
}
await print({ differences, undescribed, unspecified, descriptions, urls });
process.exit(0);
