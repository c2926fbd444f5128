// Operates the ChartMogul twin with the official npm client, unmodified.
// Environment: CHARTMOGUL_URL, CHARTMOGUL_KEY. Prints one JSON document for the test that started it.
import assert from 'node:assert/strict';
import ChartMogul from 'chartmogul-node';

const config = new ChartMogul.Config(process.env.CHARTMOGUL_KEY, process.env.CHARTMOGUL_URL);
config.retries = 0;

// This version of the client passes on the error of its HTTP library for any 4xx: status and body are on it.
async function fails (status, promise) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.status ?? error.httpStatus, status, error.message);
    return error.response.body ?? error.response;
  }
  assert.fail(`expected ${status}`);
}

async function catalogue () {
  assert.deepEqual(await ChartMogul.Ping.ping(config), { data: 'pong!' });
  const account = await ChartMogul.Account.retrieve(config);
  assert.equal(account.currency, 'USD');

  const source = await ChartMogul.DataSource.create(config, { name: 'Stripe' });
  assert.match(source.uuid, /^ds_[0-9a-f-]{36}$/);
  const taken = await fails(422, ChartMogul.DataSource.create(config, { name: 'Stripe' }));
  assert.deepEqual(taken, { errors: { name: 'Has already been taken.' } });
  const sources = await ChartMogul.DataSource.all(config);
  assert.deepEqual(sources.data_sources.map(one => one.uuid), [source.uuid]);

  const monthly = await ChartMogul.Plan.create(config, {
    data_source_uuid: source.uuid, name: 'Gold', interval_count: 1, interval_unit: 'month', external_id: 'price_gold'
  });
  const yearly = await ChartMogul.Plan.create(config, {
    data_source_uuid: source.uuid, name: 'Gold yearly', interval_count: 1, interval_unit: 'year', external_id: 'price_gold_y'
  });
  const renamed = await ChartMogul.Plan.modify(config, monthly.uuid, { name: 'Gold monthly' });
  assert.equal(renamed.name, 'Gold monthly');
  const page = await ChartMogul.Plan.all(config, { per_page: 1 });
  assert.equal(page.plans[0].uuid, yearly.uuid);
  assert.equal(page.has_more, true);
  const rest = await ChartMogul.Plan.all(config, { per_page: 1, cursor: page.cursor });
  assert.equal(rest.plans[0].uuid, monthly.uuid);
  assert.equal(rest.has_more, false);
  assert.notEqual(rest.cursor, null, 'the last page has a cursor too');

  const group = await ChartMogul.PlanGroup.create(config, { name: 'Golds', plans: [monthly.uuid, yearly.uuid] });
  assert.equal(group.plans_count, 2);
  const grouped = await ChartMogul.PlanGroup.all(config, group.uuid, {});
  assert.equal(grouped.plans.length, 2);
  return { source, monthly, yearly };
}

async function customers ({ source }) {
  const created = await ChartMogul.Customer.create(config, {
    data_source_uuid: source.uuid,
    external_id: 'cus_1',
    name: 'Adam Smith',
    email: 'adam@example.com',
    country: 'US',
    free_trial_started_at: '2026-01-01 00:00:00',
    attributes: { tags: ['vip'], custom: [{ type: 'Integer', key: 'seats', value: 3 }] }
  });
  assert.equal(created.status, 'New Lead');
  assert.deepEqual(created.attributes.custom, { seats: 3 });
  const error = await fails(422, ChartMogul.Customer.create(config, { data_source_uuid: source.uuid, external_id: 'cus_1' }));
  assert.deepEqual(error, { errors: { external_id: 'The external ID for this customer already exists in our system.' } });

  for (const number of [2, 3, 4, 5]) {
    await ChartMogul.Customer.create(config, { data_source_uuid: source.uuid, external_id: `cus_${number}`, name: `Customer ${number}` });
  }
  const seen = [];
  let query = { per_page: 2 };
  for (let pages = 1; ; pages++) {
    const page = await ChartMogul.Customer.all(config, query);
    seen.push(...page.entries.map(one => one.external_id));
    assert.ok(pages <= 3, 'paging ends with has_more');
    if (!page.has_more) break;
    query = { per_page: 2, cursor: page.cursor };
  }
  assert.deepEqual(seen, ['cus_1', 'cus_2', 'cus_3', 'cus_4', 'cus_5']);

  const found = await ChartMogul.Customer.all(config, { external_id: 'cus_1', data_source_uuid: source.uuid });
  assert.deepEqual(found.entries.map(one => one.uuid), [created.uuid]);
  const none = await ChartMogul.Customer.all(config, { external_id: 'nobody' });
  assert.deepEqual([none.entries, none.cursor, none.has_more], [[], null, false]);
  const searched = await ChartMogul.Customer.search(config, { email: 'ADAM@example.com' });
  assert.equal(searched.entries.length, 1);
  await fails(404, ChartMogul.Customer.search(config, { email: 'nobody@example.com' }));
  await fails(404, ChartMogul.Customer.retrieve(config, 'cus_00000000-0000-0000-0000-000000000000'));

  const changed = await ChartMogul.Customer.modify(config, created.uuid, { name: 'Adam B. Smith', company: 'Wealth Ltd' });
  assert.deepEqual([changed.name, changed.company, changed.email], ['Adam B. Smith', 'Wealth Ltd', 'adam@example.com']);
  assert.deepEqual((await ChartMogul.Tag.add(config, created.uuid, { tags: ['at-risk', 'vip'] })).tags, ['vip', 'at-risk']);
  assert.deepEqual((await ChartMogul.Tag.remove(config, created.uuid, { tags: ['at-risk'] })).tags, ['vip']);
  const typed = [{ type: 'Timestamp', key: 'signed', value: '2026-01-02 00:00:00 UTC' }, { type: 'Boolean', key: 'paying', value: true }];
  const added = await ChartMogul.CustomAttribute.add(config, created.uuid, { custom: typed });
  assert.deepEqual(added.custom, { seats: 3, signed: '2026-01-02T00:00:00.000Z', paying: true });
  const put = await ChartMogul.CustomAttribute.update(config, created.uuid, { custom: { seats: 7 } });
  assert.equal(put.custom.seats, 7);
  await ChartMogul.CustomAttribute.remove(config, created.uuid, { custom: ['paying'] });
  const attributes = await ChartMogul.Customer.attributes(config, created.uuid);
  assert.deepEqual(attributes, { tags: ['vip'], stripe: {}, custom: { seats: 7, signed: '2026-01-02T00:00:00.000Z' } });

  const contact = await ChartMogul.Customer.createContact(config, created.uuid, { email: 'cfo@example.com', first_name: 'Ann' });
  const contacts = await ChartMogul.Contact.all(config, { customer_uuid: created.uuid });
  assert.deepEqual(contacts.entries.map(one => one.uuid), [contact.uuid]);
  const note = await ChartMogul.CustomerNote.create(config, { customer_uuid: created.uuid, type: 'note', text: 'Hello' });
  assert.equal((await ChartMogul.CustomerNote.patch(config, note.uuid, { text: 'Bye' })).text, 'Bye');
  return created;
}

function subscriptionLine (plan, start, end, amount, more) {
  return {
    type: 'subscription',
    subscription_external_id: 'si_1',
    subscription_set_external_id: 'sub_1',
    plan_uuid: plan.uuid,
    service_period_start: start,
    service_period_end: end,
    amount_in_cents: amount,
    ...more
  };
}

async function invoices ({ source, monthly }, customer) {
  const first = {
    external_id: 'in_1',
    date: '2026-01-01 00:00:00',
    currency: 'USD',
    line_items: [subscriptionLine(monthly, '2026-01-01 00:00:00', '2026-02-01 00:00:00', 5000, { external_id: 'il_1', quantity: 1 })],
    transactions: [{ date: '2026-01-01 00:00:10', type: 'payment', result: 'successful', external_id: 'ch_1', amount_in_cents: 5000 }]
  };
  const upgrade = {
    external_id: 'change_1',
    date: '2026-01-10 12:00:00',
    currency: 'USD',
    line_items: [
      subscriptionLine(monthly, '2026-01-10 12:00:00', '2026-02-01 00:00:00', 8000, {}),
      { type: 'one_time', description: 'balance', amount_in_cents: -8000 }
    ]
  };
  const imported = await ChartMogul.Invoice.create(config, customer.uuid, { invoices: [first, upgrade] });
  assert.equal(imported.invoices.length, 2);
  assert.deepEqual(imported.invoices[0].errors, {});
  assert.match(imported.invoices[0].line_items[0].subscription_uuid, /^sub_/);

  const again = await fails(422, ChartMogul.Invoice.create(config, customer.uuid, { invoices: [first] }));
  assert.deepEqual(again.invoices[0].errors, {
    external_id: 'The external ID for this invoice already exists in our system.',
    'line_items.external_id': 'The external ID for this line item already exists in our system.',
    'transactions.external_id': 'has already been taken'
  });
  await fails(404, ChartMogul.Invoice.create(config, 'cus_nobody', { invoices: [first] }));

  const found = await ChartMogul.Invoice.all(config, { external_id: 'in_1', data_source_uuid: source.uuid, customer_uuid: customer.uuid });
  assert.deepEqual(found.invoices.map(one => one.external_id), ['in_1']);
  assert.notEqual(found.cursor, null);
  assert.equal(found.has_more, false);
  const listed = await ChartMogul.Invoice.all(config, customer.uuid, {});
  assert.equal(listed.customer_uuid, customer.uuid);
  assert.equal(listed.invoices.length, 2);
  const one = await ChartMogul.Invoice.retrieve(config, found.invoices[0].uuid);
  assert.equal(one.customer_uuid, customer.uuid);
  assert.equal(one.transactions[0].external_id, 'ch_1');

  const refund = { type: 'refund', date: '2026-01-12 00:00:00', result: 'successful', external_id: 're_1', amount_in_cents: 1000 };
  assert.equal((await ChartMogul.Transaction.create(config, one.uuid, refund)).type, 'refund');
  const twice = await fails(422, ChartMogul.Transaction.create(config, one.uuid, refund));
  assert.deepEqual(twice, { errors: { external_id: 'has already been taken' } });

  const mistake = { ...first, external_id: 'in_2', line_items: [{ type: 'one_time', amount_in_cents: 1 }], transactions: [] };
  const wrong = (await ChartMogul.Invoice.create(config, customer.uuid, { invoices: [mistake] })).invoices[0];
  assert.equal((await ChartMogul.Invoice.disable(config, wrong.uuid)).disabled, true);
  await ChartMogul.Invoice.modify(config, wrong.uuid, { date: '2026-01-03' });
  assert.equal((await ChartMogul.Invoice.retrieve(config, wrong.uuid)).date, '2026-01-03T00:00:00.000Z');
  await ChartMogul.Invoice.destroyByExternalId(config, { qs: { data_source_uuid: source.uuid, external_id: 'in_2' } });
  await fails(404, ChartMogul.Invoice.retrieve(config, wrong.uuid));
}

// The clock of the twin stands at 15 January 2026.
async function subscriptions (customer) {
  const query = { 'start-date': '2026-01-01', 'end-date': '2026-01-15', interval: 'day' };
  const metrics = async () => (await ChartMogul.Metrics.mrr(config, query)).entries;
  const before = await metrics();
  assert.deepEqual([before[0].mrr, before[8].mrr, before[9].mrr, before[14].mrr], [5000, 5000, 8000, 8000]);
  assert.deepEqual([before[0]['mrr-new-business'], before[9]['mrr-expansion']], [5000, 3000]);

  const mine = (await ChartMogul.Metrics.Customer.subscriptions(config, customer.uuid, {})).entries;
  assert.deepEqual([mine[0].external_id, mine[0].mrr, mine[0].status], ['si_1', 8000, 'active']);
  const { subscriptions } = await ChartMogul.Subscription.all(config, customer.uuid, {});
  const uuid = subscriptions[0].uuid;

  const cancelled = await ChartMogul.Subscription.patch(config, uuid, { cancellation_dates: ['2026-01-12 00:00:00'] });
  assert.deepEqual(cancelled.cancellation_dates, ['2026-01-12T00:00:00.000Z']);
  const after = await metrics();
  assert.deepEqual([after[10].mrr, after[11].mrr, after[11]['mrr-churn']], [8000, 0, -8000]);
  assert.equal((await ChartMogul.Customer.retrieve(config, customer.uuid)).status, 'Cancelled');

  await ChartMogul.Subscription.patch(config, uuid, { cancellation_dates: ['2026-02-01 00:00:00'] });
  assert.equal((await ChartMogul.Customer.retrieve(config, customer.uuid)).mrr, 8000, 'not before its date');
  await ChartMogul.Subscription.patch(config, uuid, { cancellation_dates: [] });
  assert.deepEqual(await metrics(), before, 'an empty list takes cancellations back');

  const activities = await ChartMogul.Metrics.Activity.all(config, { per_page: 1 });
  assert.deepEqual([activities.entries[0].type, activities.entries[0]['activity-mrr-movement']], ['new_biz', 5000]);
  const next = await ChartMogul.Metrics.Activity.all(config, { per_page: 1, cursor: activities.cursor });
  assert.deepEqual([next.entries[0].type, next.has_more], ['expansion', false]);
  const own = await ChartMogul.Metrics.Customer.activities(config, customer.uuid, {});
  assert.deepEqual(own.entries.map(one => one.type), ['expansion', 'new_biz']);

  const all = await ChartMogul.Metrics.all(config, { ...query, interval: 'month' });
  assert.equal(all.entries.length, 1);
  assert.deepEqual([all.entries[0].mrr, all.entries[0].arr, all.entries[0].customers, all.entries[0].arpa], [8000, 96000, 1, 8000]);
  for (const metric of ['arr', 'arpa', 'asp', 'customerCount', 'customerChurnRate', 'mrrChurnRate', 'ltv']) {
    const answer = await ChartMogul.Metrics[metric](config, query);
    assert.ok(answer.entries.length === 15 && 'current' in answer.summary, metric);
  }
}

async function events ({ source }) {
  const event = {
    data_source_uuid: source.uuid,
    external_id: 'ev_1',
    customer_external_id: 'cus_1',
    subscription_external_id: 'si_1',
    plan_external_id: 'price_gold',
    event_type: 'subscription_cancellation_scheduled',
    event_date: '2026-01-14',
    effective_date: '2026-02-01',
    currency: 'USD',
    amount_in_cents: 8000
  };
  const created = await ChartMogul.SubscriptionEvent.create(config, event);
  assert.equal(typeof created.id, 'number');
  const updated = await ChartMogul.SubscriptionEvent.updateWithParams(config, { id: created.id, amount_in_cents: 9000 });
  assert.equal(updated.amount_in_cents, 9000);
  const listed = await ChartMogul.SubscriptionEvent.all(config, { customer_external_id: 'cus_1' });
  assert.equal(listed.subscription_events.length, 1);
  await ChartMogul.SubscriptionEvent.deleteWithParams(config, { data_source_uuid: source.uuid, external_id: 'ev_1' });
  assert.equal((await ChartMogul.SubscriptionEvent.all(config)).subscription_events.length, 0);
}

async function merges ({ source }) {
  const named = async external_id => (await ChartMogul.Customer.all(config, { external_id })).entries[0];
  const [from, into] = [await named('cus_4'), await named('cus_5')];
  await ChartMogul.Customer.merge(config, { from: { customer_uuid: from.uuid }, into: { customer_uuid: into.uuid } });
  const kept = await ChartMogul.Customer.retrieve(config, into.uuid);
  assert.deepEqual(kept.external_ids, ['cus_5', 'cus_4']);
  assert.equal((await named('cus_4')).uuid, into.uuid);
  await ChartMogul.Customer.unmerge(config, {
    customer_uuid: into.uuid, data_source_uuid: source.uuid, external_id: 'cus_4', move_to_new_customer: []
  });
  assert.notEqual((await named('cus_4')).uuid, into.uuid);
  await ChartMogul.Customer.destroy(config, into.uuid);
  await fails(404, ChartMogul.Customer.retrieve(config, into.uuid));
}

const things = await catalogue();
const customer = await customers(things);
await invoices(things, customer);
await subscriptions(customer);
await events(things);
await merges(things);
const stranger = new ChartMogul.Config('wrong', process.env.CHARTMOGUL_URL);
const refused = await fails(401, ChartMogul.Ping.ping(stranger));
assert.deepEqual(refused, { code: 401, message: 'No valid API key provided', param: null });
console.log(JSON.stringify({ ok: true, customer: customer.uuid, source: things.source.uuid }));
