//! Stripe's twin.
