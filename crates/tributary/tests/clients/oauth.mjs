// An authorization server whose refresh tokens are good once, and its API (`/userinfo`). Prints its address; ends with
// its standard input. `/control/expire` ends every access token, `/control/spend` every refresh token, `/control/counts`
// tells what was asked.
import http from 'node:http';
import { OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server';

const issuer = new OAuth2Issuer();
await issuer.keys.generate('RS256');
const service = new OAuth2Service(issuer);
const [access, refresh] = [new Set(), new Set()];
const counts = { code: 0, refresh: 0, client: 0, refused: 0, api: 0 };
const client = 'Basic ' + Buffer.from('client-1:s%3Acret').toString('base64');
let nth = 0;

service.on('beforeResponse', (response, request) => {
  const { grant_type, refresh_token } = request.body;
  const refuse = (status, error) => {
    counts.refused += 1;
    response.statusCode = status;
    response.body = { error, error_description: `${error}: ask again` };
  };
  if (request.headers.authorization !== client) return refuse(401, 'invalid_client');
  if (grant_type === 'refresh_token' && !refresh.delete(refresh_token)) return refuse(400, 'invalid_grant');
  counts[{ authorization_code: 'code', refresh_token: 'refresh', client_credentials: 'client' }[grant_type]] += 1;
  // Tokens of one second are alike: a number makes them different.
  response.body.access_token += `.${(nth += 1)}`;
  access.add(response.body.access_token);
  if (response.body.refresh_token) refresh.add(response.body.refresh_token);
  response.body.scope = 'read';
});
service.on('beforeUserinfo', (response, request) => {
  counts.api += 1;
  const token = (request.headers.authorization ?? '').replace('Bearer ', '');
  if (!access.has(token)) {
    response.statusCode = 401;
    response.body = { error: 'expired', token };
  }
});

const server = http.createServer((request, response) => {
  const control = { '/control/expire': () => access.clear(), '/control/spend': () => refresh.clear() };
  if (!request.url.startsWith('/control/')) return service.requestHandler(request, response);
  control[request.url]?.();
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(counts));
});
server.listen(0, '127.0.0.1', () => {
  issuer.url = `http://127.0.0.1:${server.address().port}`;
  console.log(issuer.url);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
