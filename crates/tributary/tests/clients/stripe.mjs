// The official Stripe library operates the twin: the whole of a small business, then its edges.
// Environment: STRIPE_URL, STRIPE_KEY. Prints one JSON document; exits with an error where anything differs.

import assert from "node:assert/strict";
import Stripe from "stripe";

const { protocol, hostname, port } = new URL(process.env.STRIPE_URL);
const options = { protocol: protocol.replace(":", ""), host: hostname, port: Number(port), maxNetworkRetries: 0, telemetry: false };
const stripe = new Stripe(process.env.STRIPE_KEY, options);
const day = 86_400;

async function refused(promise, expected) {
  const error = await promise.then(
    () => assert.fail(`should have been refused: ${JSON.stringify(expected)}`),
    (error) => error,
  );
  for (const [key, value] of Object.entries(expected)) {
    assert.equal(error[key], value, `${key}: ${error.message}`);
  }
  return error;
}

// Catalog

const product = await stripe.products.create({ name: "Pro", metadata: { tier: "2" }, description: "All of it" });
assert.equal(product.metadata.tier, "2");
const recurring = (interval, interval_count = 1) => ({ interval, interval_count });
const basic = await stripe.prices.create({ product: product.id, unit_amount: 2500, currency: "usd", recurring: recurring("month") });
const pro = await stripe.prices.create({ product: product.id, unit_amount: 6000, currency: "usd", recurring: recurring("month"), nickname: "Pro monthly", lookup_key: "pro" });
const yearly = await stripe.prices.create({ product_data: { name: "Annual" }, unit_amount: 25_000, currency: "usd", recurring: recurring("year") });
const setup = await stripe.prices.create({ product: product.id, unit_amount: 900, currency: "usd" });
assert.equal(setup.type, "one_time");
assert.equal(pro.unit_amount_decimal.toString(), "6000");
assert.equal((await stripe.plans.retrieve(pro.id)).amount, 6000);
assert.equal((await stripe.prices.list({ lookup_keys: ["pro"] })).data[0].id, pro.id);
assert.deepEqual((await stripe.prices.list({ product: product.id, limit: 2 })).data.map((price) => price.id), [setup.id, pro.id]);
const half = await stripe.coupons.create({ percent_off: 12.5, duration: "forever", id: "HALF" });
const once = await stripe.coupons.create({ amount_off: 500, currency: "usd", duration: "once" });
assert.equal(half.percent_off, 12.5);

// Customers, cards

const clock = await stripe.testHelpers.testClocks.create({ frozen_time: Math.floor(Date.UTC(2026, 0, 31, 10) / 1000), name: "life" });
const start = clock.frozen_time;
const later = (frozen_time) => stripe.testHelpers.testClocks.advance(clock.id, { frozen_time });
const ada = await stripe.customers.create({
  name: "Ada", email: "ada@example.com", payment_method: "pm_card_visa", metadata: { crm: "17" },
  invoice_settings: { default_payment_method: "pm_card_visa" }, address: { city: "London", country: "GB" },
});
assert.match(ada.id, /^cus_[A-Za-z0-9]{14}$/);
assert.match(ada.invoice_settings.default_payment_method, /^pm_1[A-Za-z0-9]{23}$/);
assert.equal(ada.address.city, "London");
const renamed = await stripe.customers.update(ada.id, { name: "Ada L.", metadata: { crm: "", vip: "yes" } });
assert.deepEqual({ ...renamed.metadata }, { vip: "yes" });
assert.equal((await stripe.customers.retrieve(ada.id, { expand: ["invoice_settings.default_payment_method"] })).invoice_settings.default_payment_method.card.last4, "4242");
assert.equal((await stripe.customers.search({ query: 'email:"ada@example.com" AND metadata["vip"]:"yes"' })).data.length, 1);
assert.equal((await stripe.paymentMethods.list({ customer: ada.id, type: "card" })).data.length, 1);

// A subscription, its first invoice

const subscription = await stripe.subscriptions.create({
  customer: ada.id, items: [{ price: basic.id, quantity: 2 }], discounts: [{ coupon: half.id }],
  expand: ["latest_invoice.payments", "discounts.source.coupon"],
});
assert.equal(subscription.status, "active");
assert.equal(subscription.current_period_end, undefined);
const [item] = subscription.items.data;
assert.equal(item.current_period_start, start);
assert.equal(new Date(item.current_period_end * 1000).toISOString(), "2026-02-28T10:00:00.000Z");
assert.equal(subscription.discounts[0].source.coupon.percent_off, 12.5);
const first = subscription.latest_invoice;
assert.equal(first.status, "paid");
assert.deepEqual([first.subtotal, first.total, first.amount_due, first.amount_paid, first.amount_remaining], [5000, 4375, 4375, 4375, 0]);
assert.equal(first.parent.subscription_details.subscription, subscription.id);
assert.equal(first.billing_reason, "subscription_create");
const collected = await stripe.invoices.retrieve(first.id, { expand: ["payments.data.payment.payment_intent"] });
assert.equal(collected.payments.data[0].payment.payment_intent.status, "succeeded");
const [line] = first.lines.data;
assert.equal(line.parent.subscription_item_details.subscription_item, item.id);
assert.equal(line.pricing.price_details.price, basic.id);
assert.equal(line.quantity_decimal.toString(), "2");
assert.deepEqual(line.discount_amounts.map(({ amount }) => amount), [625]);
assert.equal(first.paid, undefined);

// The same, as clients of before basil see it

const old = new Stripe(process.env.STRIPE_KEY, { ...options, apiVersion: "2024-06-20" });
const seen = await old.subscriptions.retrieve(subscription.id, { expand: ["latest_invoice.payment_intent", "latest_invoice.charge"] });
assert.equal(seen.current_period_start, start);
assert.equal(seen.items.data[0].current_period_start, undefined);
assert.equal(seen.discount.coupon.id, "HALF");
assert.equal(seen.latest_invoice.paid, true);
assert.equal(seen.latest_invoice.subscription, subscription.id);
assert.equal(seen.latest_invoice.payment_intent.latest_charge, seen.latest_invoice.charge.id);
assert.equal(seen.latest_invoice.lines.data[0].price.id, basic.id);
assert.equal(seen.latest_invoice.lines.data[0].type, "subscription");
assert.equal(seen.latest_invoice.parent, undefined);

// An upgrade that waits for the next invoice: 14 of 28 days are left

await later(start + 14 * day);
const preview = await stripe.invoices.createPreview({ subscription: subscription.id, subscription_details: { items: [{ id: item.id, price: pro.id }] } });
const upgraded = await stripe.subscriptions.update(subscription.id, { items: [{ id: item.id, price: pro.id, quantity: 2 }] });
assert.equal(upgraded.items.data[0].price.id, pro.id);
const pending = await stripe.invoiceItems.list({ customer: ada.id, pending: true });
assert.deepEqual(pending.data.map(({ amount }) => amount).sort((a, b) => a - b), [-2188, 5250]);
assert.ok(pending.data.every((one) => one.proration && one.parent.subscription_details.subscription_item === item.id));
assert.equal(preview.total, 10500 - 2188 + 5250);

// Renewal: a draft for an hour, then paid; the pending items are on it

await later(item.current_period_end);
const [draft] = (await stripe.invoices.list({ subscription: subscription.id, limit: 1 })).data;
assert.equal(draft.status, "draft");
assert.equal(draft.billing_reason, "subscription_cycle");
assert.equal(draft.total, preview.total);
assert.equal(draft.automatically_finalizes_at, item.current_period_end + 3600);
await later(item.current_period_end + 3600);
const renewal = await stripe.invoices.retrieve(draft.id);
assert.equal(renewal.status, "paid");
assert.match(renewal.number, /-0002$/);
const lines = [];
for await (const one of stripe.invoices.listLineItems(renewal.id, { limit: 1 })) lines.push(one);
assert.deepEqual(lines.map(({ amount }) => amount), [-2188, 5250, 12000]);
assert.equal((await stripe.invoiceItems.list({ customer: ada.id, pending: true })).data.length, 0);

// A downgrade at once gives credit, which the next invoice uses

const reduced = await stripe.subscriptions.update(subscription.id, {
  items: [{ id: item.id, quantity: 1 }], proration_behavior: "always_invoice", expand: ["latest_invoice"],
});
assert.equal(reduced.latest_invoice.billing_reason, "subscription_update");
assert.ok(reduced.latest_invoice.total < 0);
assert.equal(reduced.latest_invoice.status, "paid");
assert.equal((await stripe.customers.retrieve(ada.id)).balance, reduced.latest_invoice.total);

// Cancellation at period end in both ways, undone, then done

let changed = await stripe.subscriptions.update(subscription.id, { cancel_at_period_end: true });
assert.equal(changed.cancel_at_period_end, true);
changed = await stripe.subscriptions.update(subscription.id, { cancel_at_period_end: false });
assert.equal(changed.cancel_at, null);
changed = await stripe.subscriptions.update(subscription.id, { cancel_at: "min_period_end" });
assert.equal(changed.cancel_at_period_end, false);
assert.equal(changed.cancel_at, changed.items.data[0].current_period_end);
changed = await stripe.subscriptions.update(subscription.id, { cancel_at: "" });
const ended = await stripe.subscriptions.cancel(subscription.id, { cancellation_details: { feedback: "too_expensive" } });
assert.equal(ended.status, "canceled");
assert.equal(ended.cancellation_details.feedback, "too_expensive");
assert.equal(ended.cancellation_details.reason, "cancellation_requested");
await refused(stripe.subscriptions.cancel(subscription.id), { statusCode: 404, code: "resource_missing" });
assert.equal((await stripe.subscriptions.list({ customer: ada.id })).data.length, 0);
assert.equal((await stripe.subscriptions.list({ customer: ada.id, status: "all", price: pro.id })).data.length, 1);

// Trials: one converts, one lapses; a coupon for once

const trial = await stripe.subscriptions.create({ customer: ada.id, items: [{ price: yearly.id }], trial_period_days: 14, discounts: [{ coupon: once.id }] });
assert.equal(trial.status, "trialing");
const bob = await stripe.customers.create({ name: "Bob" });
const lapsing = await stripe.subscriptions.create({
  customer: bob.id, items: [{ price: basic.id }], trial_period_days: 7,
  trial_settings: { end_behavior: { missing_payment_method: "cancel" } }, expand: ["latest_invoice"],
});
assert.equal(lapsing.latest_invoice.total, 0);
await later(trial.trial_end + 3600);
const converted = await stripe.subscriptions.retrieve(trial.id, { expand: ["latest_invoice"] });
assert.equal(converted.status, "active");
assert.equal(converted.latest_invoice.subtotal, 25_000);
assert.equal(converted.latest_invoice.total, 24_500);
assert.deepEqual(converted.discounts, []);
assert.equal((await stripe.subscriptions.retrieve(lapsing.id)).status, "canceled");

// A card that fails: past due, retries, recovery; and a first payment that fails

const carol = await stripe.customers.create({ name: "Carol", email: "carol@example.com" });
const card = await stripe.paymentMethods.attach("pm_card_visa", { customer: carol.id });
await stripe.customers.update(carol.id, { invoice_settings: { default_payment_method: card.id } });
const monthly = await stripe.subscriptions.create({ customer: carol.id, items: [{ price: basic.id }] });
const bad = await stripe.paymentMethods.attach("pm_card_chargeCustomerFail", { customer: carol.id });
await stripe.customers.update(carol.id, { invoice_settings: { default_payment_method: bad.id } });
await later(monthly.items.data[0].current_period_end + 3600);
let failing = await stripe.subscriptions.retrieve(monthly.id, { expand: ["latest_invoice"] });
assert.equal(failing.status, "past_due");
assert.equal(failing.latest_invoice.attempt_count, 1);
assert.equal(failing.latest_invoice.next_payment_attempt, failing.latest_invoice.status_transitions.finalized_at + 3 * day);
await refused(stripe.invoices.pay(failing.latest_invoice.id), { statusCode: 402, type: "StripeCardError", code: "card_declined", decline_code: "generic_decline" });
await stripe.customers.update(carol.id, { invoice_settings: { default_payment_method: card.id } });
await later(failing.latest_invoice.next_payment_attempt);
failing = await stripe.subscriptions.retrieve(monthly.id, { expand: ["latest_invoice.payments"] });
assert.equal(failing.status, "active");
assert.equal(failing.latest_invoice.attempt_count, 2);
const incomplete = await stripe.subscriptions.create({ customer: carol.id, items: [{ price: basic.id }], default_payment_method: bad.id });
assert.equal(incomplete.status, "incomplete");
await later((await stripe.testHelpers.testClocks.retrieve(clock.id)).frozen_time + day);
assert.equal((await stripe.subscriptions.retrieve(incomplete.id)).status, "incomplete_expired");

// Refunds, void, uncollectible, manual invoices, payment intents

const intent = await stripe.paymentIntents.retrieve(failing.latest_invoice.payments.data[0].payment.payment_intent);
const partial = await stripe.refunds.create({ payment_intent: intent.id, amount: 1000, reason: "requested_by_customer" });
assert.equal(partial.status, "succeeded");
const charge = await stripe.charges.retrieve(intent.latest_charge, { expand: ["refunds", "balance_transaction"] });
assert.deepEqual([charge.amount, charge.amount_refunded, charge.refunded, charge.refunds.data.length], [2500, 1000, false, 1]);
assert.equal(charge.balance_transaction.net, 2500 - charge.balance_transaction.fee);
await refused(stripe.refunds.create({ charge: charge.id, amount: 1501 }), { statusCode: 400, param: "amount" });
await stripe.refunds.create({ charge: charge.id });
await refused(stripe.refunds.create({ charge: charge.id }), { statusCode: 400, code: "charge_already_refunded" });
const bill = await stripe.invoices.create({ customer: carol.id, auto_advance: false });
await stripe.invoiceItems.create({ customer: carol.id, invoice: bill.id, pricing: { price: setup.id }, quantity: 3 });
const open = await stripe.invoices.finalizeInvoice(bill.id);
assert.deepEqual([open.status, open.total], ["open", 2700]);
const paidBill = await stripe.invoices.pay(bill.id);
assert.equal(paidBill.status, "paid");
const [payment] = (await stripe.invoicePayments.list({ invoice: bill.id })).data;
assert.deepEqual([payment.status, payment.amount_paid], ["paid", 2700]);
for (const [act, status] of [["voidInvoice", "void"], ["markUncollectible", "uncollectible"]]) {
  const drawn = await stripe.invoices.create({ customer: carol.id });
  await stripe.invoiceItems.create({ customer: carol.id, invoice: drawn.id, amount: 100, currency: "usd" });
  await stripe.invoices.finalizeInvoice(drawn.id);
  assert.equal((await stripe.invoices[act](drawn.id)).status, status);
}
const direct = await stripe.paymentIntents.create({ amount: 1234, currency: "usd", customer: carol.id, payment_method: card.id, confirm: true, off_session: true });
assert.equal(direct.status, "succeeded");

// Paging: by hand, backwards, and by the library

for (let index = 0; index < 23; index += 1) await stripe.customers.create({ name: `Customer ${index}` });
const page = await stripe.customers.list({ limit: 10 });
assert.deepEqual([page.data.length, page.has_more, page.data[0].name, page.url], [10, true, "Customer 22", "/v1/customers"]);
const next = await stripe.customers.list({ limit: 10, starting_after: page.data[9].id });
assert.equal(next.data[0].name, "Customer 12");
const back = await stripe.customers.list({ limit: 10, ending_before: next.data[0].id });
assert.deepEqual(back.data.map(({ id }) => id), page.data.map(({ id }) => id));
const everyone = await stripe.customers.list({ limit: 7 }).autoPagingToArray({ limit: 1000 });
assert.equal(everyone.length, 26);
assert.equal(new Set(everyone.map(({ id }) => id)).size, 26);
assert.equal((await stripe.customers.list({ created: { lt: start } })).data.length, 0);
assert.equal((await stripe.customers.list({ email: "carol@example.com" })).data[0].id, carol.id);

// Idempotency

const key = { idempotencyKey: "create-dora" };
const dora = await stripe.customers.create({ name: "Dora" }, key);
const again = await stripe.customers.create({ name: "Dora" }, key);
assert.equal(again.id, dora.id);
assert.equal(again.lastResponse.headers["idempotent-replayed"], "true");
await refused(stripe.customers.create({ name: "Dorothea" }, key), { statusCode: 400, type: "StripeIdempotencyError" });

// Errors

await refused(new Stripe("sk_test_wrong", options).balance.retrieve(), { statusCode: 401, type: "StripeAuthenticationError" });
await refused(stripe.customers.retrieve("cus_none"), { statusCode: 404, code: "resource_missing", param: "id", message: "No such customer: 'cus_none'" });
await refused(stripe.prices.create({ product: product.id, unit_amount: 1 }), { statusCode: 400, code: "parameter_missing", param: "currency" });
await refused(stripe.customers.create({ nome: "x" }), { statusCode: 400, code: "parameter_unknown", param: "nome" });
await refused(stripe.subscriptions.create({ customer: bob.id, items: [{ price: basic.id }] }), { statusCode: 400, code: "resource_missing" });
await refused(stripe.paymentMethods.attach("pm_card_chargeDeclined", { customer: bob.id }), { statusCode: 402, code: "card_declined" });
await refused(stripe.prices.create({ product: product.id, currency: "usd", billing_scheme: "tiered", tiers_mode: "graduated", recurring: recurring("month"), tiers: [{ up_to: "inf", unit_amount: 1 }] }), { statusCode: 400, type: "StripeInvalidRequestError" });
await refused(stripe.customers.list({ limit: 101 }), { statusCode: 400, param: "limit" });
const failure = await refused(stripe.subscriptions.retrieve(subscription.id, { expand: ["latest_invoice.paid_by"] }), { statusCode: 400 });
assert.match(failure.requestId, /^req_/);

// Webhooks and events

const endpoint = await stripe.webhookEndpoints.create({ url: "https://example.com/hook", enabled_events: ["*"] });
assert.match(endpoint.secret, /^whsec_/);
assert.equal((await stripe.webhookEndpoints.retrieve(endpoint.id)).secret, undefined);
await stripe.webhookEndpoints.update(endpoint.id, { enabled_events: ["customer.updated", "customer.deleted"] });
await stripe.customers.update(dora.id, { name: "Dora D." });
const [event] = (await stripe.events.list({ type: "customer.updated", limit: 1 })).data;
assert.deepEqual({ ...event.data.previous_attributes }, { name: "Dora" });
assert.equal(event.data.object.name, "Dora D.");
assert.equal(event.pending_webhooks, 1);
assert.deepEqual((await stripe.events.list({ delivery_success: false })).data.map(({ id }) => id), [event.id]);
const payload = JSON.stringify(await stripe.events.retrieve(event.id));
const timestamp = Math.floor(Date.now() / 1000);
const header = stripe.webhooks.generateTestHeaderString({ payload, secret: endpoint.secret, timestamp });
assert.equal(stripe.webhooks.constructEvent(payload, header, endpoint.secret).id, event.id);
assert.throws(() => stripe.webhooks.constructEvent(payload.replace("Dora D.", "Eve"), header, endpoint.secret));
const updates = await stripe.events.list({ types: ["customer.subscription.updated", "invoice.paid"], limit: 100 });
const upgrade = updates.data.findLast(({ type, data }) => type === "customer.subscription.updated" && data.object.id === subscription.id);
assert.equal(upgrade.data.previous_attributes.items.data[0].price.id, basic.id);
assert.ok(updates.data.some(({ type }) => type === "invoice.paid"));

// Deleting

const deleted = await stripe.customers.del(carol.id);
assert.equal(deleted.deleted, true);
assert.equal((await stripe.customers.retrieve(carol.id)).deleted, true);
assert.equal((await stripe.subscriptions.retrieve(monthly.id)).status, "canceled");
assert.equal((await stripe.balance.retrieve()).object, "balance");
assert.match((await stripe.accounts.retrieveCurrent()).id, /^acct_1/);

console.log(JSON.stringify({
  ok: true, start, customers: { ada: ada.id, bob: bob.id, carol: carol.id, dora: dora.id }, product: product.id,
  prices: { basic: basic.id, pro: pro.id, yearly: yearly.id }, subscriptions: { ended: subscription.id, converted: trial.id },
  invoices: { first: first.id, renewal: renewal.id }, event: event.id, endpoint: endpoint.id,
}));
