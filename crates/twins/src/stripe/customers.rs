//! Customers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::catalog::set;
use super::errors::Error;
use super::form::{MetadataChange, Params};
use super::model::*;
use super::router::Call;
use super::world::World;

/// What `create` and `update` have in common.
#[derive(Default)]
struct Edit {
    name: Option<Option<String>>,
    email: Option<Option<String>>,
    phone: Option<Option<String>>,
    description: Option<Option<String>>,
    address: Option<Value>,
    shipping: Option<Value>,
    custom_fields: Option<Value>,
    footer: Option<Option<String>>,
    default_payment_method: Option<Option<String>>,
    balance: Option<i64>,
    tax_exempt: Option<String>,
    invoice_prefix: Option<String>,
    next_invoice: Option<i64>,
    preferred_locales: Option<Vec<String>>,
    metadata: MetadataChange,
}

impl Edit {
    fn take(params: &mut Params) -> Result<Edit, Error> {
        let mut edit = Edit {
            name: params.clearable("name")?,
            email: params.clearable("email")?,
            phone: params.clearable("phone")?,
            description: params.clearable("description")?,
            address: params.raw("address"),
            shipping: params.raw("shipping"),
            balance: params.int("balance")?,
            tax_exempt: params.string("tax_exempt")?,
            invoice_prefix: params.string("invoice_prefix")?,
            next_invoice: params.int("next_invoice_sequence")?,
            preferred_locales: params.strings("preferred_locales")?,
            metadata: params.metadata_change()?,
            ..Edit::default()
        };
        if let Some(mut settings) = params.map("invoice_settings")? {
            edit.default_payment_method = settings.clearable("default_payment_method")?;
            edit.custom_fields = settings.raw("custom_fields");
            edit.footer = settings.clearable("footer")?;
            settings.ignore(&["rendering_options"]);
            settings.done()?;
        }
        params.ignore(&[
            "tax",
            "cash_balance",
            "validate",
            "business_name",
            "individual_name",
            "tax_id_data",
        ]);
        Ok(edit)
    }

    fn apply(self, customer: &mut Customer) {
        set(&mut customer.name, self.name);
        set(&mut customer.email, self.email);
        set(&mut customer.phone, self.phone);
        set(&mut customer.description, self.description);
        set(&mut customer.address, self.address);
        set(&mut customer.shipping, self.shipping);
        set(&mut customer.custom_fields, self.custom_fields);
        set(&mut customer.footer, self.footer);
        set(&mut customer.default_payment_method, self.default_payment_method);
        set(&mut customer.balance, self.balance);
        set(&mut customer.tax_exempt, self.tax_exempt);
        set(&mut customer.invoice_prefix, self.invoice_prefix);
        set(&mut customer.next_invoice, self.next_invoice);
        set(&mut customer.preferred_locales, self.preferred_locales);
        self.metadata.apply(&mut customer.metadata);
    }
}

impl World {
    /// A customer; `edit` says who.
    pub(super) fn add_customer(&mut self, edit: impl FnOnce(&mut Customer)) -> Arc<Customer> {
        let mut customer = Customer {
            id: self.ids.short("cus_"),
            created: self.now,
            name: None,
            email: None,
            phone: None,
            description: None,
            metadata: Metadata::new(),
            balance: 0,
            currency: None,
            default_payment_method: None,
            default_source: None,
            payment_methods: Vec::new(),
            address: Value::Null,
            shipping: Value::Null,
            custom_fields: Value::Null,
            footer: None,
            delinquent: false,
            invoice_prefix: self.ids.word("", 8).to_uppercase(),
            next_invoice: 1,
            discount: None,
            tax_exempt: "none".to_owned(),
            preferred_locales: Vec::new(),
            test_clock: None,
            deleted: false,
        };
        edit(&mut customer);
        let customer = self.customers.insert(customer);
        self.tell("customer.created", Arc::clone(&customer));
        customer
    }

    pub(super) fn update_customer(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Customer),
    ) -> Result<Arc<Customer>, Error> {
        self.update(|world| &mut world.customers, "customer.updated", id, change)
    }

    /// Cancels what the customer has, at once, and forgets the customer.
    pub(super) fn remove_customer(&mut self, id: &str) -> Result<(), Error> {
        self.customer(id)?;
        let subscriptions: Vec<String> =
            self.subscriptions.of(id).map(|(_, subscription)| subscription.id.clone()).collect();
        for subscription in subscriptions {
            let ended = self.subscription(&subscription)?.ended_at.is_some();
            if !ended {
                self.end_subscription(&subscription, SubscriptionStatus::Canceled, None)?;
            }
        }
        let pending = self.pending_items.remove(id).unwrap_or_default();
        let pending: Vec<String> = self
            .invoice_items
            .of(id)
            .filter(|(position, _)| pending.contains(position))
            .map(|(_, item)| item.id.clone())
            .collect();
        for item in pending {
            self.invoice_items.remove(&item);
        }
        let change = self.edit(|world| &mut world.customers, id, |customer| customer.deleted = true)?;
        self.tell("customer.deleted", change.before);
        Ok(())
    }
}

pub(super) fn create(call: &mut Call) -> Result<Value, Error> {
    let edit = Edit::take(&mut call.params)?;
    let params = &mut call.params;
    let (method, source) = (params.string("payment_method")?, params.string("source")?);
    let clock = params.string("test_clock")?;
    let coupon = params.string("coupon")?;
    params.done()?;
    let default = edit.default_payment_method.clone().flatten();
    if let Some(given) = method.as_deref().or(source.as_deref()) {
        call.world.check_attachable(given)?;
    }
    let coupon = coupon.map(|coupon| call.world.redeemable(&coupon, "coupon")).transpose()?;
    let customer = call.world.add_customer(|customer| {
        edit.apply(customer);
        customer.default_payment_method = None;
        customer.test_clock = clock;
    });
    let id = customer.id.clone();
    if let Some(given) = method.as_deref().or(source.as_deref()) {
        let attached = call.world.attach(given, &id)?;
        let wanted = default.as_deref().is_some_and(|default| default == given || default == attached.id);
        call.world.edit(
            |world| &mut world.customers,
            &id,
            |customer| {
                if source.is_some() {
                    customer.default_source = Some(attached.id.clone());
                } else if wanted {
                    customer.default_payment_method = Some(attached.id.clone());
                }
            },
        )?;
    } else if let Some(default) = default {
        return Err(Error::missing_param(
            "PaymentMethod",
            &default,
            "invoice_settings[default_payment_method]",
        ));
    }
    if let Some(coupon) = coupon {
        let discount = call.world.add_discount(coupon, &id, None);
        call.world.edit(|world| &mut world.customers, &id, |customer| customer.discount = Some(discount))?;
    }
    let customer = call.world.customer(&id)?;
    Ok(call.show(customer))
}

pub(super) fn retrieve(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    let customer = call.world.customers.get(id).cloned();
    let customer = customer.ok_or_else(|| Error::missing("customer", id, "id"))?;
    Ok(call.show(customer))
}

pub(super) fn update(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.world.customer(id).map_err(|_| Error::missing("customer", id, "id"))?;
    let mut edit = Edit::take(&mut call.params)?;
    let params = &mut call.params;
    let (source, default_source) = (params.string("source")?, params.string("default_source")?);
    let coupon = params.clearable("coupon")?;
    params.done()?;
    if let Some(Some(given)) = &edit.default_payment_method {
        let attached = call.world.attached(given, id)?;
        edit.default_payment_method = Some(Some(attached.id.clone()));
    }
    let coupon = match coupon {
        Some(Some(coupon)) => Some(Some(call.world.redeemable(&coupon, "coupon")?)),
        Some(None) => Some(None),
        None => None,
    };
    let source = match source {
        Some(token) => Some(call.world.attach(&token, id)?.id.clone()),
        None => default_source,
    };
    let discount = coupon.map(|coupon| coupon.map(|coupon| call.world.add_discount(coupon, id, None)));
    let customer = call.world.update_customer(id, |customer| {
        edit.apply(customer);
        if let Some(source) = source {
            customer.default_source = Some(source);
        }
        if let Some(discount) = discount {
            customer.discount = discount;
        }
    })?;
    Ok(call.show(customer))
}

pub(super) fn delete(call: &mut Call, id: &str) -> Result<Value, Error> {
    call.params.done()?;
    call.world.remove_customer(id)?;
    Ok(json!({ "id": id, "object": "customer", "deleted": true }))
}

pub(super) fn list(call: &mut Call) -> Result<Value, Error> {
    let email = call.params.string("email")?;
    call.params.ignore(&["test_clock"]);
    call.list(
        "/v1/customers",
        |world| &world.customers,
        None,
        |customer| !customer.deleted && (email.is_none() || customer.email == email),
    )
}
