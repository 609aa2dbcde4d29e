// What graphiql.js needs of the packages, in one module.
import 'graphiql/style.css';
export { createGraphiQLFetcher } from '@graphiql/toolkit';
export { GraphiQL } from 'graphiql';
export { parse } from 'graphql';
export { createElement } from 'react';
export { createRoot } from 'react-dom/client';
