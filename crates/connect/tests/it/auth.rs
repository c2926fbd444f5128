//! Who sends a request: every kind of `auth`, as it goes over the wire.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use connect::auth::{Access, Granted, Tokens};
use connect::{BoxFuture, Connection, Error, Manifest, Secret, perform, prepare, wire};
use ring::signature::{self, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::stage::{Stage, answer, now};

const RSA: &str = include_str!("rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("rsa.pub.der");

fn text(auth: &str) -> String {
    format!(
        "
manifest: 1
slug: acme
title: Acme
version: 1.0.0
summary: For tests
base_url: https://api.acme.example
hosts: [api.acme.example, login.acme.example, '*.eu.acme.example']
credentials:
  id: {{title: Id, secret: false, help: There}}
  secret: {{title: Secret, help: There}}
  optional: {{title: Optional, required: false, help: There}}
auth:
{auth}
errors:
  detail: [message]
  rules: [{{status: [401, 403], class: auth}}, {{status: 5xx, class: retry}}]
operations:
  things.list: {{summary: List, request: GET /things, effects: read, scopes: [things.read]}}
  things.create:
    summary: Create
    request: POST /things
    effects: write
    idempotency: none
    params:
      name: {{in: body, type: string, description: Its name}}
check: things.list
"
    )
}

fn manifest(auth: &str) -> Manifest {
    Manifest::parse("acme.yaml", &text(auth)).unwrap_or_else(|found| panic!("{found:#?}"))
}

fn connection(secret: &str) -> Connection {
    let credentials = [("id", "me"), ("secret", secret)];
    Connection {
        name: "acme".into(),
        connector: "acme".into(),
        live: true,
        base_url: None,
        credentials: credentials.map(|(name, value)| (name.to_owned(), Secret::new(value))).into(),
        access: None,
    }
}

async fn call(stage: &Stage, manifest: &Manifest, connection: &Connection) -> Result<Value, Error> {
    let operation = manifest.operation("acme.things.list").expect("the operation");
    let prepared = prepare(manifest, operation, &json!({}), "key")?;
    perform(stage, connection, manifest, operation, &prepared, now()).await
}

fn header<'a>(request: &'a wire::Request, name: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

fn form(request: &wire::Request) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

#[tokio::test]
async fn stored_credentials_are_shown_as_the_manifest_says() {
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for (auth, name, expected) in [
        ("  bearer: secret", "Authorization", "Bearer s3cret".to_owned()),
        ("  basic_user: secret", "Authorization", basic("s3cret:")),
        ("  basic: {user: id, password: secret}", "Authorization", basic("me:s3cret")),
        ("  header: {name: X-Api-Key, field: secret}", "X-Api-Key", "s3cret".to_owned()),
        (
            "  header: {name: Authorization, field: secret, prefix: 'Token '}",
            "Authorization",
            "Token s3cret".into(),
        ),
    ] {
        let stage = Stage::json([json!([])]);
        call(&stage, &manifest(auth), &connection("s3cret")).await.expect("an answer");
        let asked = stage.asked();
        assert_eq!(header(&asked[0], name), Some(expected.as_str()), "{auth}");
        assert_eq!(asked[0].url.query(), None);
    }
    let stage = Stage::json([json!([])]);
    call(&stage, &manifest("  query: {name: key, field: secret}"), &connection("s 3"))
        .await
        .expect("an answer");
    assert_eq!(stage.lines(), ["GET /things?key=s%203"]);
    assert_eq!(header(&stage.asked()[0], "authorization"), None);
    let broken = call(&Stage::json([]), &manifest("  bearer: secret"), &connection("a\nb")).await;
    assert_eq!(broken.expect_err("no header").code, "credential_invalid");
    let none = call(&Stage::json([]), &manifest("  bearer: optional"), &connection("x")).await;
    assert_eq!(none.expect_err("nothing to show").code, "credential_missing");
}

const CODE: &str = "  oauth2:
    grant: authorization_code
    authorize: https://login.acme.example/authorize?tenant=1
    token: https://login.acme.example/token
    client_id: id
    client_secret: secret
    scopes: [a.read, b.write]
    parameters: {access_type: offline, hint: $credentials.optional}
    token_parameters: {audience: acme}";

#[tokio::test]
async fn a_person_is_asked_with_a_proof_and_the_code_is_redeemed_with_it() {
    let manifest = manifest(CODE);
    let (grant, connection) = (manifest.grant().expect("a grant"), connection("s:3"));
    let agreement = grant.agreement(&connection, "http://127.0.0.1:7/callback", [7; 64]);
    let agreement = agreement.expect("sound").expect("a person is asked");
    let asked: Vec<(String, String)> = agreement.url.query_pairs().into_owned().collect();
    let challenge = ring::digest::digest(&ring::digest::SHA256, agreement.verifier.reveal().as_bytes());
    let expected = [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "me"),
        ("redirect_uri", "http://127.0.0.1:7/callback"),
        ("state", agreement.state.reveal()),
        ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)),
        ("code_challenge_method", "S256"),
        ("scope", "a.read b.write"),
        ("access_type", "offline"),
    ];
    assert_eq!(asked, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(agreement.verifier.reveal().len() >= 43, "RFC 7636, 4.1");

    let stage = Stage::json([
        json!({"access_token": "at", "refresh_token": "rt", "expires_in": 3600, "scope": "a.read"}),
    ]);
    let tokens =
        grant.redeem(&stage, &connection, &agreement, &Secret::new("the code"), now()).await.expect("tokens");
    let request = &stage.asked()[0];
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://login.acme.example/token"));
    // The colon is encoded before the pair is put together (RFC 6749, 2.3.1).
    let pair = format!("Basic {}", STANDARD.encode("me:s%3A3"));
    assert_eq!(header(request, "authorization"), Some(pair.as_str()));
    let expected = [
        ("grant_type", "authorization_code"),
        ("code", "the code"),
        ("redirect_uri", "http://127.0.0.1:7/callback"),
        ("code_verifier", agreement.verifier.reveal()),
        ("audience", "acme"),
    ];
    assert_eq!(form(request), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(tokens.scopes.as_deref(), Some(&["a.read".to_owned()][..]));
    assert!(tokens.good_at(now()) && !tokens.good_at(now() + jiff::SignedDuration::from_mins(60)));
    let kept = tokens.secrets();
    let again = Tokens::of(|name| kept.get(name).cloned(), tokens.expires_at, None);
    assert_eq!(again.refresh.expect("kept").reveal(), "rt");
}

#[tokio::test]
async fn a_renewal_keeps_what_the_vendor_does_not_replace() {
    let manifest = manifest(CODE);
    let (grant, connection) = (manifest.grant().expect("a grant"), connection("s3cret"));
    let held = Tokens {
        access: Secret::new("old"),
        refresh: Some(Secret::new("rt-1")),
        expires_at: None,
        scopes: Some(vec!["a.read".into()]),
        base_url: None,
    };
    let stage = Stage::json([
        json!({"access_token": "new"}),
        json!({"access_token": "newer", "refresh_token": "rt-2"}),
    ]);
    let kept = grant.renew(&stage, &connection, Some(&held), now()).await.expect("tokens");
    assert_eq!((kept.access.reveal(), kept.refresh.as_ref().map(Secret::reveal)), ("new", Some("rt-1")));
    assert_eq!(kept.scopes, held.scopes);
    let rotated = grant.renew(&stage, &connection, Some(&kept), now()).await.expect("tokens");
    assert_eq!(rotated.refresh.as_ref().map(Secret::reveal), Some("rt-2"));
    assert_eq!(
        form(&stage.asked()[1])[..2],
        [
            ("grant_type".to_owned(), "refresh_token".to_owned()),
            ("refresh_token".to_owned(), "rt-1".to_owned()),
        ]
    );
    let nothing = grant.renew(&stage, &connection, None, now()).await.expect_err("nobody agreed");
    assert_eq!(nothing.code, "grant_missing");
}

#[tokio::test]
async fn a_refusal_says_who_can_mend_it() {
    let manifest = manifest(
        "  oauth2: {grant: client_credentials, token: /token, client_id: id, client_secret: secret, client_auth: body, scopes: a}",
    );
    let (grant, connection) = (manifest.grant().expect("a grant"), connection("s3cret-value"));
    for (status, body, class, code, says) in [
        (
            401,
            r#"{"error":"invalid_client","error_description":"no s3cret-value"}"#,
            "auth",
            "client_refused",
            "no ***",
        ),
        (400, r#"{"error":"invalid_scope"}"#, "auth", "scope_refused", "refuses a scope"),
        (400, r#"{"error":"invalid_grant"}"#, "auth", "grant_refused", "refuses the assertion or the user"),
        (403, "<html>", "auth", "unauthorized", "gives no token: 403"),
        (200, "{}", "auth", "unauthorized", "gives no token: 200"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "retry", "grant_unavailable", "at the moment"),
        (408, "", "retry", "grant_unavailable", "at the moment"),
        (429, "", "retry", "grant_unavailable", "at the moment"),
        (502, "", "retry", "grant_unavailable", "at the moment"),
        (200, "<html>", "retry", "grant_unavailable", "at the moment"),
    ] {
        let stage = Stage::new([answer(status, body)]);
        let error = grant.renew(&stage, &connection, None, now()).await.expect_err(body);
        assert_eq!(
            (error.class.name(), error.code.as_str(), error.unknown),
            (class, code, status >= 500 || body == "<html>" && status == 200),
            "{body}"
        );
        assert!(error.detail.contains(says) && !error.detail.contains("s3cret"), "{}", error.detail);
        let sent = form(&stage.asked()[0]);
        let expected = [
            ("grant_type", "client_credentials"),
            ("scope", "a"),
            ("client_id", "me"),
            ("client_secret", "s3cret-value"),
        ];
        assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

/// What a vendor echoes of a refresh token, a code or the client's pair is in no error; its own words for a refresh token
/// that is over are understood.
#[tokio::test]
async fn what_is_asked_with_is_seen_nowhere() {
    let manifest = manifest(CODE);
    let (grant, connection) = (manifest.grant().expect("a grant"), connection("s3cret-value"));
    let held = Tokens::to_renew(Secret::new("rt-abcdef"));
    let pair = STANDARD.encode("me:s3cret-value");
    let says = json!({"error": "bad_refresh_token", "error_description": format!("no rt-abcdef for {pair}")});
    let stage = Stage::new([answer(200, &says.to_string())]);
    let error = grant.renew(&stage, &connection, Some(&held), now()).await.expect_err("refused");
    assert_eq!((error.code.as_str(), error.class.name()), ("grant_refused", "auth"));
    assert!(error.detail.contains("no *** for ***"), "{error}");
    let agreement = grant.agreement(&connection, "http://127.0.0.1:7/callback", [7; 64]);
    let agreement = agreement.expect("sound").expect("a person is asked");
    let says = json!({"error": "invalid_request", "error_description": "code-123456 is spent"});
    let stage = Stage::new([answer(400, &says.to_string())]);
    let redeemed = grant.redeem(&stage, &connection, &agreement, &Secret::new("code-123456"), now()).await;
    assert!(redeemed.expect_err("refused").detail.ends_with("*** is spent"));
}

/// From when on a token counts as over: before its end, but never all the time.
#[tokio::test]
async fn a_short_life_is_used_all_the_same() {
    let manifest = manifest(CODE);
    let (grant, connection) = (manifest.grant().expect("a grant"), connection("s3cret"));
    for (life, good_for) in [(3600, 3540), (240, 180), (60, 45), (4, 3)] {
        let stage = Stage::json([json!({"access_token": "at", "expires_in": life})]);
        let held = Tokens::to_renew(Secret::new("rt"));
        let tokens = grant.renew(&stage, &connection, Some(&held), now()).await.expect("tokens");
        let after = |seconds| tokens.good_at(now() + jiff::SignedDuration::from_secs(seconds));
        assert!(after(0) && after(good_for - 1) && !after(good_for), "{life}: {:?}", tokens.expires_at);
    }
}

fn jwt(algorithm: &str) -> String {
    format!(
        "  jwt_bearer:
    token: https://login.acme.example/token
    algorithm: {algorithm}
    key: secret
    key_id: key-1
    issuer: $credentials.id
    subject: somebody
    audience: https://login.acme.example
    scopes: [a, b]
    scope_in_assertion: true
    instance_url: instance_url"
    )
}

#[tokio::test]
async fn an_assertion_is_signed_by_the_connections_key() {
    let chance = ring::rand::SystemRandom::new();
    let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &chance)
        .expect("a key");
    let pair = signature::EcdsaKeyPair::from_pkcs8(
        &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        pkcs8.as_ref(),
        &chance,
    );
    let public = pair.expect("a pair").public_key().as_ref().to_vec();
    let es = format!(
        "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----",
        STANDARD.encode(pkcs8.as_ref())
    );
    let rsa: &dyn signature::VerificationAlgorithm = &signature::RSA_PKCS1_2048_8192_SHA256;
    let ecdsa: &dyn signature::VerificationAlgorithm = &signature::ECDSA_P256_SHA256_FIXED;
    for (name, key, algorithm, public) in
        [("RS256", RSA.to_owned(), rsa, RSA_PUBLIC.to_vec()), ("ES256", es, ecdsa, public)]
    {
        let manifest = manifest(&jwt(name));
        let granted = json!({"access_token": "at", "instance_url": "https://na1.eu.acme.example"});
        let stage = Stage::json([granted]);
        let tokens = manifest
            .grant()
            .expect("a grant")
            .renew(&stage, &connection(&key), None, now())
            .await
            .expect("tokens");
        assert_eq!(tokens.base_url.expect("an instance").host_str(), Some("na1.eu.acme.example"));
        let sent = form(&stage.asked()[0]);
        assert_eq!(sent[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(sent.len(), 2, "the scopes are in the assertion: {sent:?}");
        let (signed, tag) = sent[1].1.rsplit_once('.').expect("three parts");
        let tag = URL_SAFE_NO_PAD.decode(tag).expect("base64");
        UnparsedPublicKey::new(algorithm, public).verify(signed.as_bytes(), &tag).expect("signed by the key");
        let part = |text: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
        };
        let (head, claims) = signed.split_once('.').expect("two parts");
        assert_eq!(part(head), json!({"alg": name, "typ": "JWT", "kid": "key-1"}));
        let (iat, claims) = (now().as_second(), part(claims));
        assert_eq!(
            claims,
            json!({"iss": "me", "aud": "https://login.acme.example", "iat": iat, "exp": iat + 180, "sub": "somebody", "scope": "a b"})
        );
    }
    let error = manifest(&jwt("RS256"))
        .grant()
        .expect("a grant")
        .renew(&Stage::json([]), &connection("no key"), None, now())
        .await;
    let error = error.expect_err("no key");
    assert!(error.code == "credential_invalid" && !error.detail.contains("no key"), "{error}");
}

#[tokio::test]
async fn an_instance_elsewhere_is_not_believed() {
    let manifest = manifest(&jwt("RS256"));
    for url in [
        "https://evil.example",
        "http://na1.eu.acme.example",
        "https://eu.acme.example",
        "https://na1.eu.acme.example:1",
    ] {
        // The tokens are kept, since those before may be spent; nothing is sent there.
        let stage = Stage::json([json!({"access_token": "at", "instance_url": url})]);
        let tokens = manifest.grant().expect("a grant").renew(&stage, &connection(RSA), None, now()).await;
        let granted = Arc::new(tokens.expect(url).granted(1));
        let access: Option<Arc<dyn Access>> = Some(Arc::new(connect::auth::Fixed(granted)));
        let connection = Connection { access, ..connection(RSA) };
        let error = call(&stage, &manifest, &connection).await.expect_err(url);
        assert_eq!((error.code.as_str(), stage.asked().len()), ("host_refused", 1), "{url}");
    }
}

/// Some vendors name the instance only when the code is redeemed.
#[tokio::test]
async fn an_instance_that_is_not_named_again_is_the_one_before() {
    let manifest = manifest(&format!("{CODE}\n    instance_url: instance_url"));
    let (grant, connection) = (manifest.grant().expect("a grant"), connection("s3cret"));
    let instance: Option<url::Url> = "https://na1.eu.acme.example".parse().ok();
    for (base_url, outcome) in [(instance, Ok(())), (None, Err("answer_unexpected"))] {
        let held = Tokens { base_url: base_url.clone(), ..Tokens::to_renew(Secret::new("rt")) };
        let stage = Stage::json([json!({"access_token": "at-1"}), json!([])]);
        let tokens = grant.renew(&stage, &connection, Some(&held), now()).await.expect("the tokens are kept");
        assert_eq!(tokens.base_url, base_url);
        let granted = Arc::new(tokens.granted(1));
        let connection =
            Connection { access: Some(Arc::new(connect::auth::Fixed(granted))), ..connection.clone() };
        let called = call(&stage, &manifest, &connection).await;
        assert_eq!(called.map(drop).map_err(|error| error.code), outcome.map_err(str::to_owned));
    }
}

/// A sandbox twin's address stays the connection's, whatever the real account was granted before.
#[tokio::test]
async fn an_instance_does_not_take_the_place_of_a_connections_own_address() {
    let manifest = manifest(&jwt("RS256"));
    let instance = "https://na1.eu.acme.example".parse().ok();
    let granted = Arc::new(Granted { token: Secret::new("token-1"), base_url: instance, n: 1 });
    for (base_url, host) in [(None, "na1.eu.acme.example"), (Some("http://127.0.0.1:9"), "127.0.0.1")] {
        let connection = Connection {
            base_url: base_url.map(|url| url.parse().expect("an address")),
            access: Some(Arc::new(connect::auth::Fixed(granted.clone()))),
            ..connection("s3cret")
        };
        let stage = Stage::json([json!([])]);
        call(&stage, &manifest, &connection).await.expect("an answer");
        assert_eq!(stage.asked()[0].url.host_str(), Some(host));
    }
}

#[tokio::test]
async fn a_login_gives_a_token_or_a_cookie() {
    let token = "  session: {login: /login, body: {user: $credentials.id, password: $credentials.secret}, token: data.token, header: X-Session, prefix: '', life_s: 600}";
    let stage = Stage::json([json!({"data": {"token": "t1"}})]);
    let tokens = manifest(token)
        .grant()
        .expect("a grant")
        .renew(&stage, &connection("pw"), None, now())
        .await
        .expect("let in");
    assert_eq!(
        (tokens.access.reveal(), tokens.expires_at),
        ("t1", Some(now() + jiff::SignedDuration::from_secs(540)))
    );
    assert_eq!(stage.asked()[0].body, r#"{"user":"me","password":"pw"}"#);
    let cookie = "  session: {login: /login, encoding: form, body: {user: $credentials.id}, cookie: sid}";
    let headers = vec![
        ("Set-Cookie".to_owned(), "other=1; Path=/".to_owned()),
        ("set-cookie".to_owned(), "sid=c1; HttpOnly".to_owned()),
    ];
    let stage = Stage::new([Ok(wire::Response { status: 302, headers, body: Bytes::new() })]);
    let manifest = manifest(cookie);
    let tokens = manifest
        .grant()
        .expect("a grant")
        .renew(&stage, &connection("pw"), None, now())
        .await
        .expect("let in");
    assert_eq!(stage.asked()[0].body, "user=me");
    let stage = Stage::json([json!([])]);
    let connection =
        Connection { access: Some(Arc::new(Gives::new([tokens.access.reveal()]))), ..connection("pw") };
    call(&stage, &manifest, &connection).await.expect("an answer");
    assert_eq!(header(&stage.asked()[0], "cookie"), Some("sid=c1"));
}

/// Servers set an anonymous cookie with whatever they answer: a wrong password is no session.
#[tokio::test]
async fn a_login_that_is_refused_is_no_session() {
    let cookie = "  session: {login: /login, body: {user: $credentials.id, password: $credentials.secret}, cookie: sid}";
    let token =
        "  session: {login: /login, body: {user: $credentials.id}, token: message, header: X-Session}";
    for (auth, status, class, code) in [
        (cookie, 401, "auth", "grant_refused"),
        (cookie, 403, "auth", "grant_refused"),
        (cookie, 500, "retry", "grant_unavailable"),
        (cookie, 429, "retry", "grant_unavailable"),
        (token, 400, "auth", "grant_refused"),
        (token, 302, "auth", "unauthorized"),
    ] {
        let headers = vec![("Set-Cookie".to_owned(), "sid=anonymous; Path=/".to_owned())];
        let body = Bytes::from(r#"{"message":"wrong password s3cret"}"#);
        let stage = Stage::new([Ok(wire::Response { status, headers, body })]);
        let manifest = manifest(auth);
        let login =
            manifest.grant().expect("a grant").renew(&stage, &connection("s3cret"), None, now()).await;
        let error = login.expect_err("nobody is let in");
        assert_eq!((error.class.name(), error.code.as_str()), (class, code), "{status}");
        assert!(!error.detail.contains("s3cret"), "{error}");
    }
}

/// Gives its tokens one after the other, each until it is refused.
struct Gives {
    tokens: Vec<String>,
    at: Mutex<usize>,
}

impl Gives {
    fn new<const N: usize>(tokens: [&str; N]) -> Gives {
        Gives { tokens: tokens.map(str::to_owned).into(), at: Mutex::new(0) }
    }
}

impl Access for Gives {
    fn token<'a>(
        &'a self,
        _: &'a Connection,
        refused: Option<&'a Granted>,
    ) -> BoxFuture<'a, Result<Arc<Granted>, Error>> {
        let mut at = self.at.lock().expect("no test panics while it holds it");
        if refused.is_some_and(|refused| refused.n == *at as u64) {
            *at += 1;
        }
        let granted = Granted { token: Secret::new(self.tokens[*at].clone()), base_url: None, n: *at as u64 };
        Box::pin(std::future::ready(Ok(Arc::new(granted))))
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let manifest = manifest(CODE);
    let connection = |gives| Connection { access: Some(Arc::new(gives)), ..connection("s3cret") };
    let refused = || answer(401, r#"{"message":"token-one or token-two is over"}"#);
    let stage = Stage::new([refused(), answer(200, "[1]")]);
    let output = call(&stage, &manifest, &connection(Gives::new(["token-one", "token-two"]))).await;
    assert_eq!(output.expect("the second is good"), json!([1]));
    let shown: Vec<_> =
        stage.asked().iter().map(|request| header(request, "authorization").map(str::to_owned)).collect();
    assert_eq!(shown, [Some("Bearer token-one".to_owned()), Some("Bearer token-two".to_owned())]);
    let stage = Stage::new([refused(), refused(), answer(200, "[]")]);
    let error = call(&stage, &manifest, &connection(Gives::new(["token-one", "token-two", "x"]))).await;
    let error = error.expect_err("both are refused");
    assert_eq!((error.class.name(), stage.asked().len()), ("auth", 2));
    assert!(
        !error.to_string().contains("token-two")
            && !error.body.expect("kept").to_string().contains("token-two")
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (auth, code) in [
        ("  bearr: secret", "manifest_unknown"),
        ("  bearer: sceret", "manifest_unknown"),
        ("  bearer: secret\n  basic_user: id", "manifest_twice"),
        ("  header: {field: secret}", "manifest_missing"),
        ("  oauth2: {grant: implicit, token: /token, client_id: id}", "manifest_unknown"),
        ("  oauth2: {grant: authorization_code, token: /token, client_id: id}", "manifest_missing"),
        (
            "  oauth2: {grant: client_credentials, token: 'https://evil.example/token', client_id: id}",
            "manifest_host",
        ),
        (
            "  oauth2: {grant: client_credentials, token: /token, client_id: id, token_parameters: {a: $credentials.nix}}",
            "manifest_unknown",
        ),
        (
            "  jwt_bearer: {token: /token, algorithm: HS256, key: secret, issuer: a, audience: b}",
            "manifest_unknown",
        ),
        ("  session: {login: /login, body: {a: b}}", "manifest_missing"),
        (
            "  oauth2: {grant: client_credentials, token: /token, client_id: id, refused: [200]}",
            "manifest_type",
        ),
    ] {
        let found = Manifest::parse("acme.yaml", &text(auth)).expect_err(auth);
        assert!(found.iter().any(|problem| problem.code == code && problem.line >= 14), "{auth}: {found:#?}");
    }
}

#[test]
fn triggers_name_what_the_manifest_has() {
    let with = |triggers: &str| format!("{}triggers:\n{triggers}", text("  bearer: secret"));
    let poll = |more: &str| {
        format!("  poll: {{{more}, is_event: {{object: event}}, dedupe_key: id, type: type, time: at}}")
    };
    for (triggers, code) in [
        (poll("operation: things.list, since: from"), "manifest_unknown"),
        (poll("operation: thing.list, since: from"), "manifest_unknown"),
        (poll("operation: things.list"), "manifest_missing"),
        (poll("operation: things.list, since: '[from]'"), "manifest_request"),
        (poll("operation: things.list, since: from, times: unix"), "manifest_unknown"),
        ("  poll: {operation: things.list, since: from}".to_owned(), "manifest_missing"),
        ("  pole: {}".to_owned(), "manifest_unknown"),
    ] {
        let found = Manifest::parse("acme.yaml", &with(&triggers)).expect_err(&triggers);
        assert!(found.iter().any(|problem| problem.code == code), "{triggers}: {found:#?}");
    }
}
