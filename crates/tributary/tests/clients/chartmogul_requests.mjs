// What the official ChartMogul library sends for given arguments. Environment: CASES, a file with [{operation, ids, params}],
// where `params.query` and `params.body` say what goes where. Prints one JSON document: {known: the operations that
// have a call here, calls: all that the library can do, sent: one {method, path, type, body (base64)} for each case}.

import { readFileSync } from "node:fs";
import ChartMogul from "chartmogul-node";
import { capture } from "./capture.mjs";

const server = await capture();
const config = new ChartMogul.Config("key", `http://127.0.0.1:${server.port}`);
config.retries = 0;
console.warn = () => {};

const C = ChartMogul;
// Ids first, then what the call is given.
const data = (resource, method) => (ids, { query, body }) => resource[method](config, ...ids, body ?? query ?? {});
// By external id: the query stands in `qs` beside the body.
const both = (resource, method) => (ids, { query, body }) => resource[method](config, { qs: query, ...body });
const state = (resource) => (ids, { body }) => resource[body.disabled ? "disable" : "enable"](config, ...ids);
const stateByExternalId = (resource) => (ids, { query, body }) =>
  resource[body.disabled ? "disableByExternalId" : "enableByExternalId"](config, query);

const calls = {
  "ping.ping": () => C.Ping.ping(config),
  "account.retrieve": data(C.Account, "retrieve"),
  "data_sources.list": data(C.DataSource, "all"),
  "data_sources.retrieve": data(C.DataSource, "retrieve"),
  "data_sources.create": data(C.DataSource, "create"),
  "data_sources.delete": data(C.DataSource, "destroy"),
  "json_imports.create": data(C.JsonImport, "create"),
  "json_imports.retrieve": data(C.JsonImport, "retrieve"),
  "customers.list": data(C.Customer, "all"),
  "customers.search": data(C.Customer, "search"),
  "customers.retrieve": data(C.Customer, "retrieve"),
  "customers.create": data(C.Customer, "create"),
  "customers.update": data(C.Customer, "modify"),
  "customers.delete": data(C.Customer, "destroy"),
  "customers.merge": data(C.Customer, "merge"),
  "customers.unmerge": data(C.Customer, "unmerge"),
  "customers.connect_subscriptions": data(C.Customer, "connectSubscriptions"),
  "customers.disconnect_subscriptions": data(C.Customer, "disconnectSubscriptions"),
  "customers.subscriptions": data(C.Metrics.Customer, "subscriptions"),
  "customers.activities": data(C.Metrics.Customer, "activities"),
  "customers.attributes": data(C.Customer, "attributes"),
  "customers.contacts": data(C.Customer, "contacts"),
  "customers.invoices": data(C.Invoice, "allCustomer"),
  "contacts.list": data(C.Contact, "all"),
  "contacts.retrieve": data(C.Contact, "retrieve"),
  "contacts.create": data(C.Contact, "create"),
  "contacts.update": data(C.Contact, "modify"),
  "contacts.delete": data(C.Contact, "destroy"),
  "contacts.merge": (ids) => C.Contact.merge(config, ...ids),
  "customer_notes.list": data(C.CustomerNote, "all"),
  "customer_notes.retrieve": data(C.CustomerNote, "retrieve"),
  "customer_notes.create": data(C.CustomerNote, "create"),
  "customer_notes.update": data(C.CustomerNote, "patch"),
  "customer_notes.delete": data(C.CustomerNote, "destroy"),
  "opportunities.list": data(C.Opportunity, "all"),
  "opportunities.retrieve": data(C.Opportunity, "retrieve"),
  "opportunities.create": data(C.Opportunity, "create"),
  "opportunities.update": data(C.Opportunity, "patch"),
  "opportunities.delete": data(C.Opportunity, "destroy"),
  "tasks.list": data(C.Task, "all"),
  "tasks.retrieve": data(C.Task, "retrieve"),
  "tasks.create": data(C.Task, "create"),
  "tasks.update": data(C.Task, "patch"),
  "tasks.delete": data(C.Task, "destroy"),
  "plans.list": data(C.Plan, "all"),
  "plans.retrieve": data(C.Plan, "retrieve"),
  "plans.create": data(C.Plan, "create"),
  "plans.update": data(C.Plan, "modify"),
  "plans.delete": data(C.Plan, "destroy"),
  "plan_groups.list": data(C.PlanGroup, "all"),
  "plan_groups.retrieve": data(C.PlanGroup, "retrieve"),
  "plan_groups.plans": data(C.PlanGroup, "all"),
  "plan_groups.create": data(C.PlanGroup, "create"),
  "plan_groups.update": data(C.PlanGroup, "modify"),
  "plan_groups.delete": data(C.PlanGroup, "destroy"),
  "invoices.list": data(C.Invoice, "allAny"),
  "invoices.retrieve": data(C.Invoice, "retrieve"),
  "invoices.import": data(C.Invoice, "create"),
  "invoices.update": data(C.Invoice, "modify"),
  "invoices.update_external": both(C.Invoice, "update"),
  "invoices.set_status": data(C.Invoice, "updateStatus"),
  "invoices.set_disabled": state(C.Invoice),
  "invoices.set_disabled_external": stateByExternalId(C.Invoice),
  "invoices.delete": data(C.Invoice, "destroy"),
  "invoices.delete_external": both(C.Invoice, "destroyByExternalId"),
  "line_items.list": data(C.LineItem, "all"),
  "line_items.retrieve": data(C.LineItem, "retrieve"),
  "line_items.create": data(C.LineItem, "create"),
  "line_items.update": data(C.LineItem, "modify"),
  "line_items.update_external": both(C.LineItem, "update"),
  "line_items.delete": data(C.LineItem, "destroy"),
  "line_items.delete_external": both(C.LineItem, "destroyByExternalId"),
  "line_items.set_disabled": state(C.LineItem),
  "line_items.set_disabled_external": stateByExternalId(C.LineItem),
  "transactions.list": data(C.Transaction, "all"),
  "transactions.retrieve": data(C.Transaction, "retrieve"),
  "transactions.import": data(C.Transaction, "create"),
  "transactions.update": data(C.Transaction, "modify"),
  "transactions.update_external": both(C.Transaction, "update"),
  "transactions.delete": data(C.Transaction, "destroy"),
  "transactions.delete_external": both(C.Transaction, "destroyByExternalId"),
  "transactions.set_disabled": state(C.Transaction),
  "transactions.set_disabled_external": stateByExternalId(C.Transaction),
  "subscriptions.list": data(C.Subscription, "all"),
  "subscriptions.update": data(C.Subscription, "cancel"),
  "subscription_events.list": data(C.SubscriptionEvent, "all"),
  "subscription_events.create": data(C.SubscriptionEvent, "create"),
  "subscription_events.update": data(C.SubscriptionEvent, "updateWithParams"),
  "subscription_events.delete": data(C.SubscriptionEvent, "deleteWithParams"),
  "subscription_events.set_disabled": state(C.SubscriptionEvent),
  "tags.add": data(C.Tag, "add"),
  "tags.remove": data(C.Tag, "remove"),
  "custom_attributes.add": data(C.CustomAttribute, "add"),
  "custom_attributes.update": data(C.CustomAttribute, "update"),
  "custom_attributes.remove": data(C.CustomAttribute, "remove"),
  "metrics.all": data(C.Metrics, "all"),
  "metrics.mrr": data(C.Metrics, "mrr"),
  "metrics.arr": data(C.Metrics, "arr"),
  "metrics.arpa": data(C.Metrics, "arpa"),
  "metrics.asp": data(C.Metrics, "asp"),
  "metrics.customer_count": data(C.Metrics, "customerCount"),
  "metrics.customer_churn_rate": data(C.Metrics, "customerChurnRate"),
  "metrics.mrr_churn_rate": data(C.Metrics, "mrrChurnRate"),
  "metrics.ltv": data(C.Metrics, "ltv"),
  "activities.list": data(C.Metrics.Activity, "all"),
  "activities_export.create": data(C.Metrics.ActivitiesExport, "create"),
  "activities_export.retrieve": data(C.Metrics.ActivitiesExport, "retrieve"),
};

const sent = [];
for (const { operation, ids, params } of JSON.parse(readFileSync(process.env.CASES, "utf8"))) {
  const call = calls[operation.replace("chartmogul.", "")];
  sent.push(await server.sent(() => call?.(ids, params)));
}
console.log(JSON.stringify({ known: Object.keys(calls), sent }));
server.close();
