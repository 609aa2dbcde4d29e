// A site with responses of all kinds, on node:http or Express, that records by docs/backends.md's page-views.mjs.
//
//     node backend_site.mjs http|express PORT PAGE_VIEWS_MJS
import { createServer } from 'node:http';
import express from 'express';

const [, , library, port, pageViewsFile] = process.argv;
const { pageViews } = await import(pageViewsFile);
const RESPONSES = {
  '/accepted': [202, 'text/html'],
  '/broken': [500, 'text/html'],
  '/data': [200, 'application/json'],
  '/missing': [404, 'text/html'],
  '/moved': [302, 'text/html'],
  '/style.css': [200, 'text/css'],
};

function respond(request, response) {
  const path = (request.originalUrl ?? request.url).split('?')[0];
  const [status, type] = RESPONSES[path] ?? [200, 'text/html; charset=utf-8'];
  if (path === '/unchanged') response.writeHead(304).end();
  else if (library === 'http') response.writeHead(status, { 'content-type': type }).end('text');
  else response.status(status).type(type).send('text');
}

function makeExpress() {
  const app = express();
  app.use('/mounted', pageViews, respond);
  app.use(pageViews, respond);
  return createServer(app);
}

function makeHttp() {
  return createServer((request, response) => {
    pageViews(request, response);
    respond(request, response);
  });
}

const server = library === 'http' ? makeHttp() : makeExpress();
server.listen(port, '127.0.0.1');
process.once('SIGTERM', () => {
  server.close();
  server.closeIdleConnections();
});
