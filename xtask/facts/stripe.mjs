// What Stripe's official client knows of its API, as the second part of connectors/stripe.yaml: one operation to a
// line, and the types of events. Names, types and addresses only; its words stay where they are.
//
// Usage: node stripe.mjs OUT, where `stripe` and `typescript` are installed.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import Stripe from 'stripe';
import ts from 'typescript';

const require = createRequire(import.meta.url);
const home = dirname(dirname(require.resolve('stripe')));
const types = join(home, 'esm');
const client = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));

// Words with a plural of their own, and those that only look like one.
const SINGULAR = { addresses: 'address', dues: 'due', balance: 'balance', settings: 'settings', capabilities: 'capability' };
// Objects that the manifest's views map, by the client's name of their type.
const RETURNS = {
  BalanceTransaction: 'balance_transaction', Charge: 'charge', Coupon: 'coupon', CreditNote: 'credit_note', Customer: 'customer',
  Dispute: 'dispute', Invoice: 'invoice', InvoiceItem: 'invoice_item', PaymentIntent: 'payment_intent', Payout: 'payout',
  Price: 'price', Product: 'product', Refund: 'refund', Subscription: 'subscription',
};
// What moves money, ends something, or tells the world, and cannot be taken back by a further call.
const FINAL_VERBS = new Set(['accept', 'approve', 'cancel', 'capture', 'close', 'confirm', 'deauthorize', 'decline', 'del',
  'detach', 'expire', 'fail', 'finalizeInvoice', 'finalizeQuote', 'markUncollectible', 'migrate', 'pay', 'post', 'redact',
  'refund', 'reject', 'reverse', 'sendInvoice', 'voidCreditNote', 'voidInvoice']);
const FINAL_CREATES = new Set(['applicationFees.createRefund', 'charges.create', 'creditNotes.create', 'payouts.create', 'refunds.create',
  'topups.create', 'transfers.create', 'transfers.createReversal', 'treasury.outboundPayments.create',
  'treasury.outboundTransfers.create', 'treasury.inboundTransfers.create', 'treasury.creditReversals.create',
  'treasury.debitReversals.create', 'v2.moneyManagement.outboundPayments.create',
  'v2.moneyManagement.outboundTransfers.create', 'v2.moneyManagement.inboundTransfers.create', 'climate.orders.create']);
// Calls that need another credential than a connection's key.
const ELSEWHERE = new Set(['oauth.token', 'oauth.deauthorize', 'v2.billing.meterEventStream.create']);
const HOSTS = { files: 'https://files.stripe.com' };

const snake = (name) => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
const words = (name) => snake(name).replaceAll('_', ' ');

function singular(word) {
  if (SINGULAR[word]) return SINGULAR[word];
  if (word.endsWith('ies')) return `${word.slice(0, -3)}y`;
  if (/(ch|sh|x|ss)es$/.test(word)) return word.slice(0, -2);
  return word.endsWith('s') && !word.endsWith('ss') ? word.slice(0, -1) : word;
}

// The client's resources, at the names under which it offers them.
function* resources(root, at = root, path = []) {
  for (const [name, value] of Object.entries(at)) {
    // `account` is another name of `accounts`.
    if (value === null || typeof value !== 'object' || name.startsWith('_') || name === 'account' || value === root) continue;
    if (typeof value._makeRequest === 'function') {
      yield { name: [...path, name], resource: value };
      yield* resources(root, value, [...path, name]);
    } else if (value.stripe === root) {
      yield* resources(root, value, [...path, name]);
    }
  }
}

// What the client would send, told by the client itself.
function request(resource, method, ids) {
  let told;
  resource._makeRequest = (verb, path, _params, _options, spec) => {
    told = { verb, path, spec: spec ?? {} };
    return Promise.resolve({});
  };
  const marks = ids.map((_, index) => `-id${index}-`);
  resource[method](...marks, {}, {});
  delete resource._makeRequest;
  return told;
}

// Every path parameter is named after what it is the id of.
function named(path, ids) {
  const taken = new Set();
  const segments = path.split('/');
  for (const [index, segment] of segments.entries()) {
    const mark = /^-id(\d+)-$/.exec(segment);
    if (!mark) continue;
    let name = singular(segments[index - 1].replace('invoiceitems', 'invoice_items'));
    while (taken.has(name) || name.startsWith('{')) name = `${name}_id`;
    taken.add(name);
    segments[index] = `{${name}}`;
  }
  if (taken.size !== ids.length) throw new Error(`not every id of ${path} is in it`);
  return { path: segments.join('/'), names: [...taken] };
}

const program = ts.createProgram([join(types, 'stripe.esm.node.d.ts')], {
  noEmit: true, strict: true, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2022, types: [], skipLibCheck: true,
});
const checker = program.getTypeChecker();

const entry = program.getSourceFile(join(types, 'stripe.esm.node.d.ts'));
const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(entry)).find((s) => s.name === 'Stripe' || s.name === 'default');
const whole = checker.getDeclaredTypeOfSymbol(exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported);

function typeOf(name) {
  return name.reduce((type, part) => checker.getTypeOfSymbol(type.getProperty(part) ?? fail(`${name.join('.')} has no type`)), whole);
}

function methodsOf(resource) {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(resource)).filter(
    (name) => name !== 'constructor' && name !== 'authorizeUrl' && typeof resource[name] === 'function' && !name.startsWith('_'),
  );
}

// JSON's types that a parameter may have.
function kinds(type) {
  const found = new Set();
  for (const part of type.isUnion() ? type.types : [type]) {
    const { flags } = part;
    if (flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null)) continue;
    // `string & {}` is how the client says that there may be further values; numbers beyond 2^53 and decimals are texts.
    const text = flags & (ts.TypeFlags.StringLike | ts.TypeFlags.BigIntLike)
      || (part.isIntersection() && part.types.some((of) => of.flags & ts.TypeFlags.String || of.symbol?.name === 'DecimalImpl'));
    if (text) found.add('string');
    else if (flags & ts.TypeFlags.BooleanLike) found.add('boolean');
    else if (flags & ts.TypeFlags.NumberLike) found.add('number');
    else found.add(checker.isArrayType(part) ? 'array' : 'object');
  }
  return [...found].sort();
}

function parameters(signature, verb) {
  const params = signature.getParameters().find((p) => p.name === 'params');
  if (!params) return [];
  const type = checker.getNonNullableType(checker.getTypeOfSymbol(params));
  return type.getProperties().map((property) => {
    const required = property.flags & ts.SymbolFlags.Optional ? '' : '!';
    const type = `${verb === 'DELETE' ? 'query ' : ''}${kinds(checker.getTypeOfSymbol(property)).join('|')}${required}`;
    return { name: property.name, type };
  });
}

function answers(signature) {
  const names = new Set();
  const visit = (type) => {
    if (type.isUnionOrIntersection()) type.types.forEach(visit);
    for (const argument of type.aliasTypeArguments ?? []) visit(argument);
    if (checker.isTupleType(type) || type.typeArguments) (checker.getTypeArguments(type) ?? []).forEach(visit);
    // Names are not unique: Issuing has disputes of its own, in a folder.
    const [where] = type.symbol?.declarations ?? [];
    if (where?.getSourceFile().fileName.match(/\/resources\/[^/]+$/) && RETURNS[type.symbol.name]) names.add(RETURNS[type.symbol.name]);
  };
  visit(signature.getReturnType());
  return names.size === 1 ? [...names][0] : undefined;
}

const VERBS = { list: 'List', create: 'Create', retrieve: 'Retrieve', update: 'Update', del: 'Delete', delete: 'Delete' };
const article = (what) => `${/^[aeiou]/.test(what) ? 'an' : 'a'} ${what}`;

// `listLineItems` of `invoices` is `List line items of an invoice`.
function summary(name, method) {
  const of = words(name.at(-1));
  const before = name.slice(0, -1).map(words).join(' ').replace(/^v2 ?/, '');
  const place = before ? ` (${before})` : '';
  const one = singular(of);
  const [verb, ...rest] = snake(method).split('_');
  const what = rest.join(' ');
  const said = VERBS[verb] ?? `${verb[0].toUpperCase()}${verb.slice(1)}`;
  if (!what) return verb === 'list' || verb === 'search' ? `${said} ${of}${place}` : `${said} ${article(one)}${place}`;
  if (VERBS[verb]) return `${said} ${what} of ${article(one)}${place}`;
  return what === one ? `${said} ${article(one)}${place}` : `${said} ${what}: ${one}${place}`;
}

const plain = (text) => (/^[A-Za-z][A-Za-z0-9_./ ()|!-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : `'${text.replaceAll("'", "''")}'`);

function operation(name, resource, type, method) {
  const property = type.getProperty(method);
  // With overloads, the last one that takes `params` says most.
  const signatures = checker.getTypeOfSymbol(property).getCallSignatures();
  const signature = signatures.filter((s) => s.getParameters().some((p) => p.name === 'params')).at(-1) ?? signatures.at(-1);
  const ids = signature.getParameters().map((p) => p.name).filter((p) => !['params', 'options'].includes(p));
  const { verb, path: marked, spec } = request(resource, method, ids);
  const { path, names } = named(marked, ids);
  const full = [...name, method === 'del' ? 'delete' : method].map(snake).join('.');
  // Searches are followed page by page, as lists are.
  const own = (p) => !(spec.methodType === 'search' && p.name === 'page');
  const params = parameters(signature, verb).filter(own);
  const twice = params.find((p) => names.includes(p.name) || ['connection', 'view'].includes(p.name));
  if (twice) fail(`${full}: ${twice.name} is taken`);
  const final = verb === 'DELETE' || FINAL_VERBS.has(method) || FINAL_CREATES.has([...name, method].join('.'));
  const parts = [`summary: ${plain(summary(name, method))}`, `request: '${verb} ${path}'`];
  parts.push(`effects: ${verb === 'GET' ? 'read' : final ? 'destructive' : 'write'}`);
  if (verb === 'DELETE') parts.push('idempotency: repeatable', 'absent_is_done: true');
  if (path.startsWith('/v2/') && verb !== 'GET') parts.push('encoding: json');
  if (spec.headers?.['Content-Type']?.startsWith('multipart')) parts.push('encoding: multipart');
  if (spec.streaming) parts.push('answer: bytes');
  if (spec.apiBase) parts.push(`base_url: ${plain(HOSTS[spec.apiBase] ?? fail(`${full}: where is ${spec.apiBase}?`))}`);
  if (spec.methodType === 'list') parts.push(path.startsWith('/v2/') ? 'pages: {more: null, next: {url: next_page_url}, size: null}' : 'pages: true');
  if (spec.methodType === 'search') parts.push('pages: {next: {at: next_page}, send: page}');
  const returns = answers(signature);
  if (returns) parts.push(`returns: ${returns}`);
  if (params.length > 0) parts.push(`params: {${params.map((p) => `${plain(p.name)}: ${plain(p.type)}`).join(', ')}}`);
  return { full, line: `${full}: {${parts.join(', ')}}` };
}

function fail(message) {
  throw new Error(message);
}

// The snapshot events, and those that only name their object.
function eventTypes() {
  const found = new Set();
  const collect = (type) => {
    for (const part of type.isUnion() ? type.types : [type]) {
      if (part.isUnion()) collect(part);
      else if (part.getProperty?.('type')) {
        const of = checker.getTypeOfSymbol(part.getProperty('type'));
        for (const literal of of.isUnion() ? of.types : [of]) if (literal.isStringLiteral()) found.add(literal.value);
      }
    }
  };
  for (const [file, wanted] of [['Events.d.ts', 'Event'], ['V2/Core/Events.d.ts', 'Event'], ['V2/Core/Events.d.ts', 'EventNotification']]) {
    const source = program.getSourceFile(join(types, 'resources', file));
    for (const symbol of checker.getExportsOfModule(checker.getSymbolAtLocation(source))) {
      if (symbol.name === wanted) collect(checker.getDeclaredTypeOfSymbol(symbol));
    }
  }
  return [...found].sort();
}

const stripe = new Stripe('sk_test_facts');
const lines = [];
for (const { name, resource } of resources(stripe)) {
  const type = typeOf(name);
  for (const method of methodsOf(resource)) {
    if (ELSEWHERE.has([...name, method].join('.')) || method.startsWith('addFetch')) continue;
    lines.push(operation(name, resource, type, method));
  }
}
lines.sort((a, b) => (a.full < b.full ? -1 : 1));
const events = eventTypes();
const text = [
  `# Generated by \`cargo xtask facts\` from the official client, npm stripe ${client.version}: one operation to a line.`,
  `event_types: [${events.map(plain).join(', ')}]`,
  ...lines.map((operation) => operation.line),
  '',
].join('\n');
writeFileSync(process.argv[2], text);
console.error(`${lines.length} operations, ${events.length} types of events, stripe ${client.version}`);
