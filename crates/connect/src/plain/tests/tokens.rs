//! Grants, clients, kept tokens, and `digest`.

use super::*;
use jiff::Timestamp;
use std::sync::Arc;

type Answer = fn(&wire::Request) -> (u16, &'static str, String);

const JSON: &str = "application/json";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Calls with tokens that were kept, at a time.
fn call_at(
    tokens: &Arc<Tokens>,
    second: i64,
    policy: &Value,
    answer: Answer,
) -> (Result<Value, Error>, Vec<wire::Request>) {
    let with = json!({"method": "POST", "uri": "https://api.acme.example/things", "authentication": policy});
    let web = Web { seen: Mutex::default(), answer };
    let mut wallet = wallet();
    (wallet.tokens, wallet.now) = (tokens.clone(), at(second));
    let egress = egress(&["x.test"]);
    let request = ready(Request::prepare(&web, &egress, "http", &with)).unwrap();
    let result = ready(perform_as(&web, &egress, &wallet, &request, &with));
    (result, web.seen.into_inner().unwrap())
}

fn call_once(policy: &Value, answer: Answer) -> (Result<Value, Error>, Vec<wire::Request>) {
    call_at(&Arc::default(), 1_000, policy, answer)
}

fn policy(more: &Value) -> Value {
    let mut oauth = json!({
        "token": "https://id.acme.example/oauth2/token",
        "grant": "client_credentials",
        "client": {"id": secret("id"), "secret": secret("key"), "method": "client_secret_basic"},
    });
    for (name, value) in more.as_object().unwrap() {
        oauth[name] = value.clone();
    }
    json!({"oauth2": oauth})
}

fn body(request: &wire::Request) -> String {
    String::from_utf8(request.body.to_vec()).unwrap()
}

/// Gives a token that holds for an hour, and takes it.
fn hour(request: &wire::Request) -> (u16, &'static str, String) {
    match request.url.path() {
        "/oauth2/token" => (200, JSON, json!({"access_token": "t0k3n-1234", "expires_in": 3600}).to_string()),
        _ => (200, JSON, json!({"heard": request.headers}).to_string()),
    }
}

#[test]
fn each_grant_asks_with_what_it_has() {
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    for (more, expected) in [
        (
            json!({"scope": "a b", "audience": ["x", "y"]}),
            "grant_type=client_credentials&scope=a+b&audience=x&audience=y",
        ),
        (
            json!({"grant": "password", "username": "me", "password": secret("key"), "client": null}),
            "grant_type=password&username=me&password=the-key-of-acme-1234",
        ),
        (
            json!({"grant": "refresh_token", "subject": {"token": secret("key")}}),
            "grant_type=refresh_token&refresh_token=the-key-of-acme-1234",
        ),
        (
            json!({"grant": exchange, "subject": {"token": secret("key")}, "actor": {"token": "t", "type": "jwt"}}),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=the-key-of-acme-1234\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&actor_token=t&actor_token_type=jwt",
        ),
    ] {
        let (result, seen) = call_once(&policy(&more), hour);
        let output = result.unwrap().to_string();
        assert_eq!(body(&seen[0]), expected);
        assert_eq!(
            sent(&seen[0], "authorization").is_some(),
            !more["client"].is_null() || more.get("client").is_none()
        );
        assert_eq!(sent(&seen[1], "authorization"), Some("Bearer t0k3n-1234"));
        assert!(!output.contains("t0k3n"), "a token is masked like a credential: {output}");
    }
    let json = policy(&json!({"json": true, "audience": ["x", "y"]}));
    let (_, seen) = call_once(&json, hour);
    assert_eq!(sent(&seen[0], "content-type"), Some(JSON));
    let told: Value = serde_json::from_str(&body(&seen[0])).unwrap();
    assert_eq!(told, json!({"grant_type": "client_credentials", "audience": ["x", "y"]}));
}

#[test]
fn a_client_says_who_it_is_in_each_way() {
    let client = |method: &str| {
        policy(
            &json!({"client": {"id": secret("id"), "secret": secret("key"), "assertion": secret("key"), "method": method}}),
        )
    };
    let asked = |method: &str| call_once(&client(method), hour).1.remove(0);
    assert!(sent(&asked("client_secret_basic"), "authorization").unwrap().starts_with("Basic "));
    assert!(
        body(&asked("client_secret_post"))
            .ends_with("&client_id=client-7&client_secret=the-key-of-acme-1234")
    );
    assert!(body(&asked("none")).ends_with("&client_id=client-7"));
    assert!(body(&asked("private_key_jwt")).ends_with("&client_assertion=the-key-of-acme-1234"));
    let told = body(&asked("client_secret_jwt"));
    let assertion = told.rsplit_once("client_assertion=").unwrap().1.to_owned();
    let parts: Vec<&str> = assertion.split('.').collect();
    let decode =
        |part: &str| base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, part).unwrap();
    let claims: Value = serde_json::from_slice(&decode(parts[1])).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&json!("client-7"), &json!("https://id.acme.example/oauth2/token"))
    );
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_000), &json!(1_060)));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY.as_bytes());
    let text = format!("{}.{}", parts[0], parts[1]);
    ring::hmac::verify(&key, text.as_bytes(), &decode(parts[2])).expect("the signature is of the secret");
}

#[test]
fn a_token_is_kept_until_it_is_about_to_expire() {
    let tokens = Arc::default();
    let asks = |second: i64, policy: &Value| {
        let seen = call_at(&tokens, second, policy, hour).1;
        seen.iter().filter(|request| request.url.path() == "/oauth2/token").count()
    };
    let first = policy(&json!({}));
    assert_eq!((asks(0, &first), asks(1, &first), asks(3_569, &first)), (1, 0, 0));
    assert_eq!((asks(3_570, &first), asks(3_571, &first)), (1, 0));
    // Other secrets, scopes or grants are other tokens.
    let other =
        policy(&json!({"client": {"id": secret("id"), "secret": "other", "method": "client_secret_basic"}}));
    assert_eq!((asks(3_571, &other), asks(3_571, &policy(&json!({"scope": "s"})))), (1, 1));
    // What does not say how long it holds is asked for each time.
    let forgetful: Answer = |_| (200, JSON, json!({"access_token": "t"}).to_string());
    let scope = policy(&json!({"scope": "f"}));
    assert_eq!([0, 1].map(|second| call_at(&tokens, second, &scope, forgetful).1.len()), [2, 2]);
}

#[test]
fn a_kept_token_that_is_refused_is_asked_for_once_more() {
    let tokens = Arc::default();
    let policy = policy(&json!({}));
    assert_eq!(call_at(&tokens, 0, &policy, hour).1.len(), 2);
    let moved: Answer = |request| match (request.url.path(), sent(request, "authorization")) {
        ("/oauth2/token", _) => (200, JSON, json!({"access_token": "newer", "expires_in": 3600}).to_string()),
        (_, Some("Bearer newer")) => (200, JSON, "1".to_owned()),
        _ => (401, JSON, String::new()),
    };
    let (result, seen) = call_at(&tokens, 1, &policy, moved);
    assert_eq!((result.unwrap(), seen.len()), (json!(1), 3));
    // A token that was asked for just now is not asked for again.
    let never: Answer = |request| match request.url.path() {
        "/oauth2/token" => (200, JSON, json!({"access_token": "t"}).to_string()),
        _ => (401, JSON, String::new()),
    };
    let (result, seen) = call_once(&policy, never);
    assert_eq!((result.unwrap_err().status, seen.len()), (Some(401), 2));
}

#[test]
fn an_issuer_is_asked_where_it_gives_tokens() {
    let described: Answer = |request| match request.url.path() {
        "/.well-known/openid-configuration" => (
            200,
            JSON,
            json!({"issuer": "https://id.acme.example", "token_endpoint": "https://id.acme.example/t"})
                .to_string(),
        ),
        // {"iss":"https://id.acme.example"}
        "/t" => (
            200,
            JSON,
            json!({"access_token": "e30.eyJpc3MiOiJodHRwczovL2lkLmFjbWUuZXhhbXBsZSJ9.x"}).to_string(),
        ),
        _ => (200, JSON, "1".to_owned()),
    };
    let oidc = |more: Value| {
        let mut policy = policy(&more);
        policy["oauth2"].as_object_mut().unwrap().remove("token");
        policy["oauth2"]["issuer"] = "https://id.acme.example".into();
        policy
    };
    let (result, seen) = call_once(&oidc(json!({"issuers": ["https://id.acme.example"]})), described);
    assert_eq!((result.unwrap(), seen.len(), seen[1].url.path()), (json!(1), 3, "/t"));
    let (result, _) = call_once(&oidc(json!({"issuers": ["https://other.example"]})), described);
    assert!(result.unwrap_err().detail.contains("none of `issuers`"));
    let liar: Answer = |_| (200, JSON, r#"{"issuer":"https://evil.example"}"#.to_owned());
    let elsewhere: Answer = |_| {
        (
            200,
            JSON,
            r#"{"issuer":"https://id.acme.example","token_endpoint":"https://evil.example/t"}"#.to_owned(),
        )
    };
    // Flows may call it; the secrets are another host's.
    let allowed: Answer = |_| {
        (200, JSON, r#"{"issuer":"https://id.acme.example","token_endpoint":"https://x.test/t"}"#.to_owned())
    };
    for (answer, part) in [
        (liar, "does not describe itself"),
        (elsewhere, "not a host that flows may call"),
        (allowed, "x.test"),
    ] {
        let (result, seen) = call_once(&oidc(json!({})), answer);
        let error = result.unwrap_err();
        assert!(error.detail.contains(part), "{}", error.detail);
        assert_eq!(seen.len(), 1, "no secret was sent");
    }
}

#[test]
fn digest_answers_the_question_of_a_refusal() {
    let asks: Answer = |request| match sent(request, "authorization") {
        None => (401, "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256", String::new()),
        Some(_) => (200, JSON, "1".to_owned()),
    };
    let policy = json!({"digest": {"username": "me", "password": secret("key")}});
    let (result, seen) = call_once(&policy, asks);
    assert_eq!((result.unwrap(), seen.len()), (json!(1), 2));
    let said = sent(&seen[1], "authorization").unwrap();
    assert!(said.starts_with("Digest username=\"me\"") && !said.contains(KEY), "{said}");
    // A second refusal is the answer; and who asks nothing is not answered.
    let never: Answer = |_| (401, "Digest realm=r, nonce=n", String::new());
    let (result, seen) = call_once(&policy, never);
    assert_eq!((result.unwrap_err().status, seen.len()), (Some(401), 2));
    let other: Answer = |_| (401, "Basic realm=r", String::new());
    let (result, seen) = call_once(&policy, other);
    assert_eq!((result.unwrap_err().class, seen.len()), (Class::Auth, 1));
}
