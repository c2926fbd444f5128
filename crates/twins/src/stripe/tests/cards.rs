//! Payments that fail: retries, recovery, the end; refunds.

use super::*;

#[test]
fn retries_follow_the_schedule_and_the_last_one_decides() {
    for (finally, status, mrr_ends) in [
        (Finally::Cancel, "canceled", true),
        (Finally::Unpaid, "unpaid", true),
        (Finally::PastDue, "past_due", false),
    ] {
        let mut config = Config::new(1, time(START));
        config.dunning.finally = finally;
        let shop = Shop::open(config);
        let ada = shop.customer(Card::Ok);
        let id = shop.subscribe(&ada, "basic", 1);
        shop.stripe.set_card(&ada, Card::Declines).unwrap();
        shop.to_renewal(&id);
        for (days, attempts) in [(0, 1), (3, 2), (5, 3), (7, 4)] {
            if days > 0 {
                assert_eq!(shop.status(&id), "past_due", "before attempt {attempts}");
            }
            shop.days(days);
            let invoice = shop.stripe.invoices(&ada).pop().unwrap();
            let seen = shop.get(&format!("/v1/invoices/{}", invoice.id));
            assert_eq!(seen["attempt_count"], attempts);
        }
        assert_eq!(shop.status(&id), status);
        let expected = if mrr_ends { vec![(0, 1000), (43, 0)] } else { vec![(0, 1000)] };
        assert_eq!(shop.mrr(), expected, "{finally:?}");
    }
}

#[test]
fn a_retry_that_succeeds_recovers() {
    for (card, attempts) in [(Card::DeclinesOnce(1), 2), (Card::DeclinesOnce(2), 3)] {
        let shop = Shop::new();
        let ada = shop.customer(Card::Ok);
        let id = shop.subscribe(&ada, "basic", 1);
        shop.stripe.set_card(&ada, card).unwrap();
        shop.to_renewal(&id);
        assert_eq!((shop.status(&id), shop.stripe.customers()[0].delinquent), ("past_due", true));
        shop.days(8);
        assert_eq!((shop.status(&id), shop.stripe.customers()[0].delinquent), ("active", false));
        let invoice = shop.stripe.invoices(&ada).pop().unwrap();
        let seen = shop.get(&format!("/v1/invoices/{}", invoice.id));
        assert_eq!((seen["attempt_count"].clone(), seen["status"].clone()), (attempts.into(), "paid".into()));
        assert_eq!(shop.mrr(), [(0, 1000)]);
    }
}

#[test]
fn a_new_card_pays_at_the_next_retry_or_by_hand() {
    for by_hand in [true, false] {
        let shop = Shop::new();
        let ada = shop.customer(Card::Ok);
        let id = shop.subscribe(&ada, "basic", 1);
        shop.stripe.set_card(&ada, Card::Declines).unwrap();
        shop.to_renewal(&id);
        let invoice = shop.stripe.invoices(&ada).pop().unwrap().id;
        assert_eq!(shop.stripe.pay_invoice(&invoice).unwrap_err().code, Some("card_declined"));
        shop.stripe.set_card(&ada, Card::Ok).unwrap();
        assert_eq!(shop.status(&id), "past_due");
        if by_hand {
            shop.stripe.pay_invoice(&invoice).unwrap();
        } else {
            shop.days(3);
        }
        assert_eq!(shop.status(&id), "active", "by hand: {by_hand}");
    }
}

#[test]
fn a_first_payment_that_fails_counts_only_once_it_is_made() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Declines);
    let id = shop.subscribe(&ada, "basic", 1);
    assert_eq!((shop.status(&id), shop.mrr()), ("incomplete", vec![]));
    shop.advance(Span::new().hours(2));
    shop.stripe.set_card(&ada, Card::Ok).unwrap();
    shop.stripe.pay_invoice(&shop.stripe.invoices(&ada)[0].id).unwrap();
    assert_eq!(shop.status(&id), "active");
    assert_eq!(shop.stripe.mrr_history()[0].at, time(START), "from the start of the period that it pays for");

    let other = shop.customer(Card::Declines);
    let never = shop.subscribe(&other, "basic", 1);
    shop.days(1);
    assert_eq!((shop.status(&never), shop.bills(&other)), ("incomplete_expired", vec![(1000, "void")]));
}

#[test]
fn an_invoice_given_up_frees_the_subscription() {
    for void in [true, false] {
        let shop = Shop::new();
        let ada = shop.customer(Card::Ok);
        let id = shop.subscribe(&ada, "basic", 1);
        shop.stripe.set_card(&ada, Card::Declines).unwrap();
        shop.to_renewal(&id);
        let invoice = shop.stripe.invoices(&ada).pop().unwrap().id;
        if void {
            shop.stripe.void_invoice(&invoice).unwrap();
        } else {
            shop.stripe.mark_uncollectible(&invoice).unwrap();
        }
        assert_eq!(shop.status(&id), "active");
        shop.days(20);
        assert_eq!(shop.status(&id), "active", "nothing is retried any more");
    }
}

#[test]
fn refunds_are_bounded_by_the_charge() {
    let shop = Shop::new();
    let ada = shop.customer(Card::Ok);
    let id = shop.subscribe(&ada, "basic", 1);
    let charge = shop.stripe.invoices(&ada)[0].charge.clone().unwrap();
    shop.stripe.refund(&charge, Some(400)).unwrap();
    assert!(shop.stripe.refund(&charge, Some(601)).is_err());
    shop.stripe.refund(&charge, None).unwrap();
    assert_eq!(shop.stripe.refund(&charge, None).unwrap_err().code, Some("charge_already_refunded"));
    let seen = shop.get(&format!("/v1/charges/{charge}"));
    assert_eq!((seen["amount_refunded"].clone(), seen["refunded"].clone()), (1000.into(), true.into()));
    assert_eq!((shop.status(&id), shop.mrr()), ("active", vec![(0, 1000)]));
}

#[test]
fn without_a_card_nothing_paid_begins() {
    let shop = Shop::new();
    let ada = shop.stripe.create_customer(NewCustomer::default());
    let new = NewSubscription {
        customer: ada.clone(),
        items: vec![(shop.prices["basic"].clone(), 1)],
        ..NewSubscription::default()
    };
    let error = shop.stripe.create_subscription(new).unwrap_err();
    assert_eq!((error.status, error.code), (400, Some("resource_missing")));
    assert!(shop.stripe.subscriptions().is_empty());
}
