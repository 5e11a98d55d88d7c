/** Reads of the daemon's API. */
import { request } from 'node:http';

const ANSWER_TIMEOUT_MS = 60_000;

/** @param {import('./lab.mjs').Host} host @param {string} path such as `/v1/status` @returns {Promise<object>} what is answered */
export function ask(host, path) {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: host.socket, path, timeout: ANSWER_TIMEOUT_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.once('end', () => resolve(JSON.parse(text)));
    });
    call.once('timeout', () => call.destroy(new Error('the control socket does not answer')));
    call.once('error', reject);
    call.end();
  });
}
