//! The `Stripe-Signature` header.

use std::fmt::Write;

use jiff::Timestamp;
use ring::hmac;

/// `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`, keyed by the endpoint's secret (`whsec_…`, as text).
pub fn signature(secret: &str, body: &[u8], at: Timestamp) -> String {
    let t = at.as_second();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(t.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let mut header = format!("t={t},v1=");
    for byte in context.sign().as_ref() {
        // Writing to a String can't fail.
        let _: std::fmt::Result = write!(header, "{byte:02x}");
    }
    header
}
