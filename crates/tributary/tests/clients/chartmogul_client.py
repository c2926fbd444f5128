"""Reads back from the ChartMogul twin with the official Python client, unmodified: its schemas check every answer.

Environment: CHARTMOGUL_URL, CHARTMOGUL_KEY. Runs after chartmogul.mjs, on the same twin. Prints one JSON document.
"""
import json
import os

import chartmogul
from chartmogul import Config

config = Config(os.environ["CHARTMOGUL_KEY"])
config.uri = os.environ["CHARTMOGUL_URL"] + "/v1"
config.max_retries = 0


def rejected(promise):
    try:
        promise.get()
    except chartmogul.APIError as error:
        return error
    raise AssertionError("expected a refusal")


assert chartmogul.Ping.ping(config).get().data == "pong!"
assert chartmogul.Account.retrieve(config).get().currency == "USD"

source = chartmogul.DataSource.all(config).get().data_sources[0]
assert source.name == "Stripe"
plans = chartmogul.Plan.all(config, per_page=1).get()
assert plans.has_more and plans.cursor and plans.plans[0].interval_unit == "year"

customer = chartmogul.Customer.all(config, external_id="cus_1").get().entries[0]
assert customer.name == "Adam B. Smith" and customer.mrr == 8000 and customer.status == "Active"
assert customer.customer_since.isoformat() == "2026-01-01T00:00:00+00:00"
found = chartmogul.Customer.search(config, email="adam@example.com").get()
assert [one.uuid for one in found.entries] == [customer.uuid]
error = rejected(chartmogul.Customer.create(
    config, data={"data_source_uuid": source.uuid, "external_id": "cus_1"}))
assert "already exists in our system" in str(error), error

created = chartmogul.Customer.create(
    config, data={"data_source_uuid": source.uuid, "external_id": "cus_py", "name": "Eve Ruby"}).get()
assert created.customer_since is None and created.attributes.tags == []
assert chartmogul.Tags.add(config, uuid=created.uuid, data={"tags": ["trial"]}).get().tags == ["trial"]
custom = chartmogul.CustomAttributes.add(
    config, uuid=created.uuid, data={"custom": [{"type": "Decimal", "key": "score", "value": 1.5}]}).get()
assert custom.custom == {"score": 1.5}

monthly = next(plan for plan in chartmogul.Plan.all(config).get().plans if plan.external_id == "price_gold")
invoice = {
    "external_id": "in_py",
    "date": "2026-01-05T00:00:00",
    "currency": "EUR",
    "line_items": [{
        "type": "subscription",
        "subscription_external_id": "si_py",
        "plan_uuid": monthly.uuid,
        "service_period_start": "2026-01-05 00:00:00",
        "service_period_end": "2026-02-05 00:00:00",
        "amount_in_cents": 1100,
        "tax_amount_in_cents": 100,
        "quantity": 1,
    }],
    "transactions": [{"date": "2026-01-05 00:00:01", "type": "payment", "result": "successful"}],
}
imported = chartmogul.Invoice.create(config, uuid=created.uuid, data={"invoices": [invoice]}).get()
assert imported.invoices[0].line_items[0].subscription_uuid.startswith("sub_")
again = rejected(chartmogul.Invoice.create(config, uuid=created.uuid, data={"invoices": [invoice]}))
assert "The external ID for this invoice already exists in our system." in str(again), again
listed = chartmogul.Invoice.all(config, customer_uuid=created.uuid).get()
assert [one.external_id for one in listed.invoices] == ["in_py"] and not listed.has_more and listed.cursor
one = chartmogul.Invoice.retrieve(config, uuid=listed.invoices[0].uuid).get()
assert one.customer_uuid == created.uuid and one.transactions[0].result == "successful"

held = chartmogul.Subscription.list_imported(config, uuid=created.uuid).get()
subscription = held.subscriptions[0]
assert subscription.external_id == "si_py" and held.customer_uuid == created.uuid
# 1000 cents net, 1 EUR = 1.10 USD.
metrics = chartmogul.CustomerSubscription.all(config, uuid=created.uuid).get().entries[0]
assert (metrics.mrr, metrics.arr, metrics.currency) == (1100, 13200, "USD"), metrics
chartmogul.Subscription.cancel(config, uuid=subscription.uuid, data={"cancelled_at": "2026-01-10T00:00:00"}).get()
assert chartmogul.Customer.retrieve(config, uuid=created.uuid).get().status == "Cancelled"

activities = chartmogul.Activity.all(config, per_page=2).get()
assert activities.has_more and [one.type for one in activities.entries] == ["new_biz", "new_biz"]
own = chartmogul.CustomerActivity.all(config, uuid=created.uuid).get()
assert [one.type for one in own.entries] == ["churn", "new_biz"]
mrr = chartmogul.Metrics.mrr(config, start_date="2026-01-01", end_date="2026-01-15", interval="day").get()
assert [mrr.entries[4].mrr, mrr.entries[9].mrr_churn, mrr.entries[14].mrr] == [6100, -1100, 8000]
everything = chartmogul.Metrics.all(config, start_date="2026-01-01", end_date="2026-01-15").get()
assert everything.entries[0].mrr == 8000 and everything.summary.current_mrr == 8000

stranger = Config("wrong")
stranger.uri = config.uri
assert "No valid API key provided" in str(rejected(chartmogul.Ping.ping(stranger)))
print(json.dumps({"ok": True}))
