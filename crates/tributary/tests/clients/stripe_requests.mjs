// What the official Stripe library sends for given arguments. Environment: CASES, a file with
// [{request: "POST /v1/customers/{}", ids: […], params: {…}}]. Prints one JSON document: {known: all requests that the
// library can make, sent: one {method, path, type, body (base64)} or {error} for each case}.
//
// In `params`, {$date: seconds} is a Date, {$decimal: text} a Decimal, and {data (base64), name, type} a file.

import { readFileSync } from "node:fs";
import Stripe from "stripe";
import { capture } from "./capture.mjs";

const server = await capture();
const options = { protocol: "http", host: "127.0.0.1", port: server.port, maxNetworkRetries: 0, telemetry: false };
const stripe = new Stripe("sk_test_requests", options);

// Every method of the library by the request that it makes.
function* resources(at) {
  for (const [name, value] of Object.entries(at)) {
    if (value === null || typeof value !== "object" || name.startsWith("_") || value === stripe) continue;
    if (typeof value._makeRequest === "function") yield value;
    if (typeof value._makeRequest === "function" || value.stripe === stripe) yield* resources(value);
  }
}

const methods = new Map();
for (const resource of resources(stripe)) {
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(resource))) {
    if (["constructor", "authorizeUrl", "addFetchRelatedObjectIfNeeded"].includes(name)) continue;
    const ids = /^\w+\(([^)]*)\)/.exec(resource[name].toString())[1].split(",").filter((word) => !/params|options/.test(word) && word.trim());
    const own = Object.hasOwn(resource, "_makeRequest");
    resource._makeRequest = (method, path) => {
      methods.set(`${method} ${path.replaceAll("-id-", "{}")}`, { resource, name });
      return Promise.resolve({});
    };
    resource[name](...ids.map(() => "-id-"), {}, {});
    if (!own) delete resource._makeRequest;
  }
}

function revived(value) {
  if (Array.isArray(value)) return value.map(revived);
  if (value === null || typeof value !== "object") return value;
  if ("$date" in value) return new Date(value.$date * 1000);
  if ("$decimal" in value) return Stripe.Decimal.from(value.$decimal);
  if ("data" in value && "name" in value) return { ...value, data: Buffer.from(value.data, "base64") };
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revived(inner)]));
}

const sent = [];
for (const { request, ids, params } of JSON.parse(readFileSync(process.env.CASES, "utf8"))) {
  const method = methods.get(request);
  sent.push(await server.sent(async () => {
    const answer = await method.resource[method.name](...ids, revived(params));
    answer?.resume?.();
  }));
}
console.log(JSON.stringify({ known: [...methods.keys()].sort(), sent }));
server.close();
