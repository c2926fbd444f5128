//! What looks like a password, token or key that is written out, where everybody who reads the flow would know it.

/// How vendors' tokens begin, and how many characters of a token follow at least.
const TOKENS: &[(&str, usize)] = &[
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("rk_live_", 10),
    ("rk_test_", 10),
    ("whsec_", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xapp-", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("AKIA", 16),
    ("AIza", 30),
    ("SG.", 30),
    ("npm_", 30),
];
/// Headers that say who calls.
const HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
];

/// The secret in a text, as far as it may be shown.
pub fn within(text: &str) -> Option<String> {
    let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    for (start, length) in TOKENS {
        for (at, _) in text.match_indices(start) {
            let inside = text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric());
            let rest = &text[at + start.len()..];
            let follows = rest.chars().take_while(|c| token(*c));
            // `sk_live_…` in a description and `sk_live_xxxxxxxx` in an example are no keys.
            let (count, kinds) = follows.fold((0, [false; 2]), |(count, [letters, digits]), c| {
                (count + 1, [letters || c.is_ascii_alphabetic(), digits || c.is_ascii_digit()])
            });
            if !inside && count >= *length && kinds == [true, true] {
                return Some(format!("{start}…"));
            }
        }
    }
    let private = text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----");
    private.then(|| "-----BEGIN … PRIVATE KEY-----".to_owned())
}

/// Whether a header says who calls.
pub fn is_header(name: &str) -> bool {
    HEADERS.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether an address has a password in it: `https://user:password@…`.
pub fn in_address(address: &str) -> bool {
    let authority =
        address.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(""));
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_keys_from_talk_of_keys() {
        for (text, found) in [
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", true),
            ("${ \"Bearer ghp_16C7e42F292c6912E7710c838347Ae178B4a\" }", true),
            ("AKIAIOSFODNN7EXAMPLE", true),
            ("-----BEGIN EC PRIVATE KEY-----\nMHc…", true),
            ("a key begins with sk_live_", false),
            ("sk_live_xxxxxxxxxxxxxxxxxxx", false),
            ("task_live_4eC39HqLyjWDarjtT1zdp7dc", false),
            ("AKIA and then some more words of text", false),
            ("-----BEGIN CERTIFICATE-----", false),
        ] {
            assert_eq!(within(text).is_some(), found, "{text}");
        }
        assert_eq!(within("sk_live_4eC39HqLyjWDarjtT1zdp7dc").as_deref(), Some("sk_live_…"));
        for (address, found) in [
            ("https://me:secret@example.com/x", true),
            ("https://me@example.com/x", false),
            ("https://example.com/@me:x", false),
        ] {
            assert_eq!(in_address(address), found, "{address}");
        }
    }
}
