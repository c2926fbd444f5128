//! MRR as ChartMogul publishes it, in examples of its own documentation, to the cent; and the rules around them.

use serde_json::json;

use super::{Desk, with};
use crate::chartmogul::mrr::{Currency, Interval, Line, Proration, Unit, line_mrr};

/// help.chartmogul.com/hc/en-us/articles/360012519560, "Switching plans (non-prorated)": from 100 to 250 a month
/// at the turn of the month is an MRR of 250 and a movement of 150.
#[test]
fn plan_switch_at_the_turn_of_the_month() {
    let mut desk = Desk::new();
    let (bronze, gold) = (desk.plan("month", 1), desk.plan("month", 1));
    desk.bill(vec![desk.line(&bronze, "2019-01-01", "2019-02-01", 10_000)]);
    desk.bill(vec![desk.line(&gold, "2019-02-01", "2019-03-01", 25_000)]);
    assert_eq!((desk.mrr_at("2019-01-31"), desk.mrr_at("2019-02-01")), (10_000, 25_000));
    let report = desk.twin.report(super::at("2019-02-01"), super::at("2019-02-28"));
    assert_eq!(report.movements.total_cents["expansion"], 15_000);
}

/// The same page, "Switching plans (prorated)": in mid June, 125 for the rest of the month on the plan of 250 and
/// a credit of 50 for the rest on the plan of 100 are an MRR of 250, a movement of 150.
#[test]
fn plan_switch_in_mid_month_with_a_credit() {
    let mut desk = Desk::new();
    let (bronze, gold) = (desk.plan("month", 1), desk.plan("month", 1));
    desk.bill(vec![desk.line(&bronze, "2019-06-01", "2019-07-01", 10_000)]);
    let prorated = |line| with(line, json!({"prorated": true}));
    let charge = prorated(desk.line(&gold, "2019-06-16", "2019-07-01", 12_500));
    let credit = prorated(desk.line(&bronze, "2019-06-16", "2019-07-01", -5_000));
    desk.bill(vec![charge, credit]);
    assert_eq!((desk.mrr_at("2019-06-15"), desk.mrr_at("2019-06-16")), (10_000, 25_000));
    let report = desk.twin.report(super::at("2019-06-16"), super::at("2019-06-30"));
    assert_eq!(
        report.movements.total_cents["expansion"], 15_000,
        "both lines at one instant are one movement"
    );
}

/// dev.chartmogul.com/docs/how-mrr-is-calculated-from-prorated-invoices: 90 for three months are 30 a month.
#[test]
fn a_quarterly_amount_is_a_third_a_month() {
    let mut desk = Desk::new();
    let quarterly = desk.plan("month", 3);
    desk.bill(vec![desk.line(&quarterly, "2026-01-01", "2026-04-01", 9_000)]);
    assert_eq!(desk.mrr_at("2026-01-01"), 3_000);
}

/// The same page: 20 for ten days of a monthly plan are 60 only in a month of 30 days. The factor is the full
/// service period over the prorated one, in seconds.
#[test]
fn ten_days_scale_by_the_month_they_lie_in() {
    let cases = [
        ("2026-04-21", "2026-05-01", 6_000),
        ("2026-01-22", "2026-02-01", 6_200),
        ("2026-02-19", "2026-03-01", 5_600),
        // The month that ends on 11 April began on 11 March.
        ("2026-04-01", "2026-04-11", 6_200),
    ];
    for (start, end, mrr) in cases {
        let mut desk = Desk::new();
        let plan = desk.plan("month", 1);
        desk.bill(vec![with(desk.line(&plan, start, end, 2_000), json!({"prorated": true}))]);
        assert_eq!(desk.mrr_at(start), mrr, "{start}");
    }
}

/// dev.chartmogul.com/docs/adding-prorated-invoices-using-the-import-api: a seat of 50 a month added on 16 March
/// for 25 until the month ends. By the formula of the other page that is 25 × 31 ÷ 16 days = 48.44 more.
#[test]
fn an_added_seat() {
    let mut desk = Desk::new();
    let bronze = desk.plan("month", 1);
    desk.bill(vec![desk.line(&bronze, "2016-03-01", "2016-04-01", 5_000)]);
    let seat = desk.line(&bronze, "2016-03-16", "2016-04-01", 2_500);
    desk.bill(vec![with(seat, json!({"prorated": true, "proration_type": "differential"}))]);
    assert_eq!((desk.mrr_at("2016-03-15"), desk.mrr_at("2016-03-16")), (5_000, 9_844));
}

/// A whole line of the subscription that covers the prorated one tells the full period, where the plan's interval
/// is the same: here the month bills from 15 January to 15 February.
#[test]
fn an_earlier_whole_line_tells_the_full_period() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    desk.bill(vec![desk.line(&plan, "2026-01-10", "2026-02-15", 3_600)]);
    let half = desk.line(&plan, "2026-01-28", "2026-02-15", 900);
    desk.bill(vec![with(half, json!({"prorated": true}))]);
    assert_eq!(desk.mrr_at("2026-01-28"), 3_600 + 1_800);
}

fn prorated(cents: i64, unit: Unit, count: u32, proration: Proration) -> Line {
    Line {
        start: super::at("2026-01-16"),
        end: super::at("2026-02-01"),
        event_order: None,
        sequence: 1,
        net_cents: cents,
        currency: Currency::new("USD").unwrap(),
        interval: Interval { unit, count },
        proration,
    }
}

#[test]
fn the_formula_rounds_once_half_away_from_zero() {
    let cases = [
        (prorated(1_000, Unit::Month, 1, Proration::None), 1_000),
        (prorated(1_000, Unit::Year, 1, Proration::None), 83),
        (prorated(1_002, Unit::Year, 1, Proration::None), 84),
        (prorated(-1_002, Unit::Year, 1, Proration::None), -84),
        (prorated(700, Unit::Day, 7, Proration::None), 3_042),
        // 16 of 31 days; of 365.
        (prorated(1_600, Unit::Month, 1, Proration::Differential), 3_100),
        (prorated(1_600, Unit::Year, 1, Proration::Full), 3_042),
        (prorated(-1_600, Unit::Month, 1, Proration::Differential), -3_100),
        // The difference in MRR itself.
        (prorated(1_600, Unit::Month, 1, Proration::DifferentialMrr), 1_600),
        (prorated(1_200, Unit::Year, 1, Proration::DifferentialMrr), 100),
        // Amounts that would overflow 64 bits on the way.
        (prorated(4_000_000_000_000_000_000, Unit::Year, 1, Proration::None), 333_333_333_333_333_333),
    ];
    for (line, mrr) in cases {
        assert_eq!(line_mrr(&line, None), mrr, "{line:?}");
    }
}

#[test]
fn a_prorated_line_without_length_counts_as_it_stands() {
    let line =
        Line { end: super::at("2026-01-16"), ..prorated(500, Unit::Month, 1, Proration::Differential) };
    assert_eq!(line_mrr(&line, None), 500);
}

/// Tax is taken off; discounts are in the amount already; one-time and trial lines don't count.
#[test]
fn what_a_line_counts() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    let taxed =
        json!({"tax_amount_in_cents": 190, "discount_amount_in_cents": 500, "transaction_fees_in_cents": 30});
    let other = |value, id: &str| with(value, json!({"subscription_external_id": id}));
    desk.bill(vec![
        with(desk.line(&plan, "2026-01-01", "2026-02-01", 1_190), taxed),
        json!({"type": "one_time", "amount_in_cents": 9_999}),
        with(
            other(desk.line(&plan, "2026-01-01", "2026-01-15", 4_000), "si_trial"),
            json!({"type": "trial"}),
        ),
    ]);
    assert_eq!(desk.mrr_at("2026-01-02"), 1_000);
}

/// Lines of one start are taken by event order, then by creation.
#[test]
fn event_order_decides_between_lines_of_one_start() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    let ordered = |line, order: i64| with(line, json!({"event_order": order}));
    desk.bill(vec![ordered(desk.line(&plan, "2026-01-01", "2026-02-01", 2_000), 2)]);
    desk.bill(vec![ordered(desk.line(&plan, "2026-01-01", "2026-02-01", 1_000), 1)]);
    assert_eq!(desk.mrr_at("2026-01-01"), 2_000);
    desk.bill(vec![desk.line(&plan, "2026-01-01", "2026-02-01", 3_000)]);
    assert_eq!(desk.mrr_at("2026-01-01"), 3_000, "one without an order comes last");
}

#[test]
fn cancellations_end_the_mrr_until_a_later_line() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    desk.bill(vec![desk.line(&plan, "2026-01-01", "2026-02-01", 1_000)]);
    desk.bill(vec![desk.line(&plan, "2026-03-01", "2026-04-01", 1_200)]);
    let mrr = |desk: &Desk| {
        ["2026-01-09", "2026-01-10", "2026-02-28", "2026-03-01", "2026-05-01"].map(|day| desk.mrr_at(day))
    };
    assert_eq!(mrr(&desk), [1_000, 1_000, 1_000, 1_200, 1_200], "a line lasts beyond its service period");
    desk.cancel(&["2026-01-10"]);
    assert_eq!(mrr(&desk), [1_000, 0, 0, 1_200, 1_200]);
    desk.cancel(&["2026-05-01", "2026-01-10"]);
    assert_eq!(mrr(&desk), [1_000, 0, 0, 1_200, 0], "dates replace dates; the order does not matter");
    desk.cancel(&["2026-03-01"]);
    assert_eq!(mrr(&desk), [1_000, 1_000, 1_000, 0, 0], "at one instant the cancellation wins");
    desk.cancel(&[]);
    assert_eq!(mrr(&desk), [1_000, 1_000, 1_000, 1_200, 1_200]);
}

#[test]
fn cancelled_at_of_a_line_is_a_cancellation() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    let line = desk.line(&plan, "2026-01-01", "2026-02-01", 1_000);
    desk.bill(vec![with(line, json!({"cancelled_at": "2026-01-20 12:00:00"}))]);
    assert_eq!((desk.mrr_at("2026-01-20"), desk.mrr_at("2026-01-21")), (1_000, 0));
}

/// Voided, written off and hidden invoices don't count; hiding is undone.
#[test]
fn what_is_out_of_sight_does_not_count() {
    let mut desk = Desk::new();
    let plan = desk.plan("month", 1);
    let invoice = desk.bill(vec![desk.line(&plan, "2026-01-01", "2026-02-01", 1_000)]);
    let hide = format!("/v1/invoices/{}/disabled_state", invoice["uuid"].as_str().unwrap());
    desk.call("PATCH", &hide, json!({"disabled": true}));
    assert_eq!(desk.mrr_at("2026-01-02"), 0);
    desk.call("PATCH", &hide, json!({"disabled": false}));
    assert_eq!(desk.mrr_at("2026-01-02"), 1_000);
    let line = invoice["line_items"][0]["uuid"].as_str().unwrap();
    desk.call("PATCH", &format!("/v1/line_items/{line}/disabled_state"), json!({"disabled": true}));
    assert_eq!(desk.mrr_at("2026-01-02"), 0);
    desk.call("PATCH", &format!("/v1/line_items/{line}/disabled_state"), json!({"disabled": false}));
    for status in ["voided", "written_off"] {
        let target = format!("/v1/data_sources/{}/invoices/in_1/status", desk.source);
        assert_eq!(desk.call("PUT", &target, json!({"status": status})).0, 200);
        assert_eq!(desk.mrr_at("2026-01-02"), 0, "{status}");
    }
}
