"""The official Stripe library for Python reads back what the one for JavaScript did.

Environment: STRIPE_URL, STRIPE_KEY, MADE (what stripe.mjs printed). Prints one JSON document.
"""

import json
import os

import stripe
from stripe import StripeClient

made = json.loads(os.environ["MADE"])
stripe.max_network_retries = 0
client = StripeClient(os.environ["STRIPE_KEY"], base_addresses={"api": os.environ["STRIPE_URL"]})


def refused(act, error, **expected):
    try:
        act()
    except error as problem:
        for key, value in expected.items():
            assert getattr(problem, key) == value, (key, getattr(problem, key), value)
        return
    raise AssertionError(f"should have been refused: {expected}")


ada = client.v1.customers.retrieve(made["customers"]["ada"], {"expand": ["invoice_settings.default_payment_method"]})
assert (ada.name, ada.email, ada.metadata["vip"]) == ("Ada L.", "ada@example.com", "yes")
assert ada.invoice_settings.default_payment_method.card.brand == "visa"

ended = client.v1.subscriptions.retrieve(made["subscriptions"]["ended"], {"expand": ["customer", "latest_invoice"]})
assert ended.status == "canceled" and ended.customer.id == ada.id
item = ended["items"].data[0]
assert (item.price.id, item.quantity) == (made["prices"]["pro"], 1)
assert item.current_period_start < ended.ended_at < item.current_period_end

first = client.v1.invoices.retrieve(made["invoices"]["first"], {"expand": ["payments.data.payment.payment_intent"]})
assert (first.status, first.total, first.created) == ("paid", 4375, made["start"])
assert first.payments.data[0].payment.payment_intent.amount_received == 4375
assert first.parent.subscription_details.subscription == ended.id
lines = client.v1.invoices.line_items.list(made["invoices"]["renewal"], {"limit": 2})
assert lines.has_more and [line.amount for line in lines.auto_paging_iter()] == [-2188, 5250, 12000]

everyone = list(client.v1.customers.list({"limit": 9}).auto_paging_iter())
assert len(everyone) == len({customer.id for customer in everyone}) == 26, len(everyone)
assert made["customers"]["carol"] not in {customer.id for customer in everyone}
live = client.v1.subscriptions.list({"customer": ada.id, "status": "active"})
assert [subscription.id for subscription in live.data] == [made["subscriptions"]["converted"]]
recent = client.v1.invoices.list({"created": {"gt": made["start"]}, "status": "paid", "limit": 100})
assert recent.data and all(invoice.created > made["start"] for invoice in recent.data)

event = client.v1.events.retrieve(made["event"])
assert event.type == "customer.updated" and event.data.object.id == made["customers"]["dora"]
secret = client.v1.webhook_endpoints.create({"url": "https://example.com/second", "enabled_events": ["invoice.paid"]})
assert secret.secret.startswith("whsec_")
assert {one.id for one in client.v1.webhook_endpoints.list().data} == {made["endpoint"], secret.id}
client.v1.webhook_endpoints.delete(secret.id)

options = {"idempotency_key": "python"}
one = client.v1.customers.create({"name": "Guido"}, options)
assert client.v1.customers.create({"name": "Guido"}, options).id == one.id
refused(lambda: client.v1.customers.create({"name": "Eve"}, options), stripe.IdempotencyError, http_status=400)
refused(lambda: client.v1.prices.retrieve("price_x"), stripe.InvalidRequestError, http_status=404, code="resource_missing")
refused(lambda: StripeClient("sk_test_no", base_addresses={"api": os.environ["STRIPE_URL"]}).v1.balance.retrieve(), stripe.AuthenticationError, http_status=401)
refused(lambda: client.v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": one.id}), stripe.CardError, http_status=402, code="card_declined")

old = client.v1.subscriptions.retrieve(made["subscriptions"]["converted"], options={"stripe_version": "2025-02-24.acacia"})
assert old["current_period_end"] > old["current_period_start"]

print(json.dumps({"ok": True, "customers": len(everyone)}))
