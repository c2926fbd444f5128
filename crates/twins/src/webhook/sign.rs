//! The `Stripe-Signature` header.

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
        header.push_str(&format!("{byte:02x}"));
    }
    header
}
