// The one socket: graphql-ws, which comes back after every loss. Nothing is ever asked twice because time has passed.

import { readToken } from './token.js';

/**
 * @typedef {{ kind: 'connecting' } | { kind: 'connected' } | { kind: 'waiting', retryAt: number } | { kind: 'refused', reason: string } | { kind: 'locked' }} Connection
 * @typedef {{ message: string, code: string, retryable: boolean }} Problem
 */

/**
 * @template T
 * @typedef {object} Sink
 * @property {(data: T) => void} data
 * @property {(problem: Problem) => void} problem
 */

const PING_MS = 10_000;
const PONG_MAX_MS = 5_000;
const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 15_000;
/** Codes with which a server closes a socket that has not shown a valid token. */
const UNAUTHENTICATED_CLOSES = [4401, 4403];
/** Codes of problems that another token solves. */
export const NEEDS_TOKEN = ['UNAUTHENTICATED', 'FORBIDDEN'];

export class Feed {
  #client;
  #tell;
  /** @type {() => void} */
  #tryNow = () => {};

  /**
   * @param {(connection: Connection) => void} tell hears of every change of the connection
   */
  constructor(tell) {
    this.#tell = tell;
    const url = new URL('/graphql', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    /** @type {number | undefined} */
    let pongMissing;
    this.#client = graphqlWs.createClient({
      url: url.href,
      connectionParams: () => {
        const token = readToken();
        return token ? { authorization: `Bearer ${token}` } : {};
      },
      retryAttempts: Infinity,
      // The same token would be refused again.
      shouldRetry: (failure) => !(isClose(failure) && UNAUTHENTICATED_CLOSES.includes(failure.code)),
      retryWait: (attempt) => this.#pause(attempt),
      keepAlive: PING_MS,
      on: {
        connecting: () => tell({ kind: 'connecting' }),
        connected: () => tell({ kind: 'connected' }),
        // A network that has gone says nothing: who does not answer a ping is gone.
        ping: (isReceived) => {
          if (!isReceived) pongMissing = setTimeout(() => this.#client.terminate(), PONG_MAX_MS);
        },
        pong: (isReceived) => {
          if (isReceived) clearTimeout(pongMissing);
        },
        closed: () => clearTimeout(pongMissing),
      },
    });
    addEventListener('online', () => this.tryNow());
  }

  /**
   * Subscribes; returns what ends it.
   * @template T
   * @param {string} query
   * @param {Record<string, unknown>} variables
   * @param {Sink<T>} sink
   */
  watch(query, variables, sink) {
    let isOver = false;
    let end = () => {};
    /** @type {number | undefined} */
    let again;
    const begin = () => {
      end = this.#client.subscribe(
        { query, variables },
        {
          next: ({ data, errors }) => {
            if (isOver) return;
            if (errors?.length) sink.problem(problemOf(errors));
            else if (data) sink.data(/** @type {T} */ (data));
          },
          error: (failure) => {
            if (isOver) return;
            const problem = problemOf(failure);
            if (NEEDS_TOKEN.includes(problem.code)) this.#tell({ kind: 'locked' });
            else if (isClose(failure)) this.#tell({ kind: 'refused', reason: problem.message });
            sink.problem(problem);
            if (problem.retryable) again = setTimeout(begin, PAUSE_MAX_MS);
          },
          complete: () => {
            if (!isOver && again === undefined) again = setTimeout(begin, PAUSE_MS);
          },
        },
      );
      again = undefined;
    };
    begin();
    return () => {
      isOver = true;
      clearTimeout(again);
      end();
    };
  }

  /**
   * Asks once. Rejects with a `Problem`.
   * @template T
   * @param {string} query
   * @param {Record<string, unknown>} variables
   * @returns {Promise<T>}
   */
  ask(query, variables) {
    return new Promise((resolve, reject) => {
      this.#client.subscribe(
        { query, variables },
        {
          next: ({ data, errors }) => {
            if (errors?.length) reject(problemOf(errors));
            else resolve(/** @type {T} */ (data));
          },
          error: (failure) => reject(problemOf(failure)),
          complete: () => reject(problemOf(new Error('the server gave no answer'))),
        },
      );
    });
  }

  /** Waits no longer for the next try to connect. */
  tryNow() {
    this.#tryNow();
  }

  /** Comes back with what is known now, a token for instance. */
  reconnect() {
    this.#client.terminate();
    this.tryNow();
  }

  /**
   * @param {number} attempt
   * @returns {Promise<void>}
   */
  #pause(attempt) {
    // Not all at once, when a server comes back that many were watching.
    const pause = Math.min(PAUSE_MS * 2 ** attempt, PAUSE_MAX_MS) * (0.75 + Math.random() / 2);
    this.#tell({ kind: 'waiting', retryAt: Date.now() + pause });
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.#tryNow = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/**
 * @param {unknown} failure
 * @returns {failure is { code: number, reason: string }}
 */
function isClose(failure) {
  return typeof failure === 'object' && failure !== null && 'code' in failure && 'reason' in failure;
}

/**
 * What graphql-ws says went wrong: a list of GraphQL errors, a close that it does not come back from, or an error.
 * @param {unknown} failure
 * @returns {Problem}
 */
function problemOf(failure) {
  if (Array.isArray(failure)) {
    const { message, extensions } = failure[0] ?? { message: 'the server said nothing more' };
    return { message, code: String(extensions?.code ?? ''), retryable: extensions?.retryable === true };
  }
  if (isClose(failure)) {
    const needsToken = UNAUTHENTICATED_CLOSES.includes(failure.code) || failure.reason.includes('UNAUTHENTICATED');
    const reason = failure.reason.replace('UNAUTHENTICATED: ', '');
    const message = needsToken && reason ? reason : `the server closed the socket: ${reason || failure.code}`;
    return { message, code: needsToken ? 'UNAUTHENTICATED' : '', retryable: false };
  }
  return { message: failure instanceof Error ? failure.message : String(failure), code: '', retryable: false };
}
