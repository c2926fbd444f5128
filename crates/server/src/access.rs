//! Who may use the REST API: whoever holds the token, or whoever can open the server's Unix socket (mode 0600).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use ring::hmac;

use crate::App;
use crate::problem::{Code, Problem};

/// The API token, kept as a keyed digest: comparing takes the same time whatever is presented.
pub struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Token {
    /// Takes the token's text and 32 random bytes to key the digest.
    pub fn new(text: &str, key: [u8; 32]) -> Token {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let tag = hmac::sign(&key, text.as_bytes());
        Token { key, tag }
    }

    /// Whether this is the token.
    pub fn accepts(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Lets a request pass that carries `Authorization: Bearer <token>`.
pub async fn require_token(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let presented = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = presented.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if app.token().accepts(token) => Ok(next.run(request).await),
        Some(_) => Err(Problem::new(Code::Unauthorized, "this is not the server's token")),
        None => Err(Problem::new(
            Code::Unauthorized,
            "send `Authorization: Bearer <token>`; the token lies in the file `token` of the server's data directory",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_accepted() {
        let token = Token::new("tby_abc", [7; 32]);
        for (presented, expected) in [("tby_abc", true), ("tby_abd", false), ("tby_ab", false), ("", false)] {
            assert_eq!(token.accepts(presented), expected, "{presented}");
        }
        assert!(!format!("{token:?}").contains("abc"));
    }
}
